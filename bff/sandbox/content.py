"""The space's own data, files and small reads: what a gateway passes through (FACTS 1, 10)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from random import Random

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from bff.sandbox.answers import Refusal, id_of, shaped
from bff.sandbox.portal import Portal

FILE_BYTES_DEFAULT = 1_048_576
FILE_BYTES_MAX = 2**31
_CHUNK = 65_536
# Prime, so that no two chunks of a file begin at the same byte and a shifted range shows.
_PATTERN = Random(0).randbytes(65_521)  # noqa: S311  (repeatable on purpose)
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


@dataclass(frozen=True, slots=True)
class Content:
    """The business reads are anonymous, the others want a bearer token."""

    portal: Portal

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/api/public/businesses/current", self.business),
            Route("/api/public/configuration", self.configuration),
            Route("/api/sys/businesses/getByHost", self.by_host),
            Route("/api/sys/businesses/{business_id}/colors", self.colors),
            Route("/api/public/outlines/navigation", self.navigation),
            Route("/api/styles/styles.css", self.styles),
            Route("/api/public/announcements/active", self.announcements),
            Route("/api/public/bookings/price", self.price, methods=["POST"]),
            Route("/api/public/files/{file_id}", self.file),
        ]

    async def business(self, request: Request) -> Response:
        business = self.portal.world.business
        document = {
            "Id": business.id,
            "UniqueId": business.unique_id,
            "Name": business.name,
            "WebAddress": business.space,
            "Currency": {"Code": "GBP", "Name": "British Pound", "Format": "£{0:0.00}"},
            "LanguageCulture": "en-GB",
            "TimeZone": "Europe/London",
            "Address": "1 Example Street",
            "TownCity": "London",
            "PostalCode": "E1 1AA",
            "Country": {"Id": 1221, "Name": "United Kingdom", "TwoDigitsCode": "GB"},
            "NativeHomeUrl": business.origin,
            "NativeHomeUrlWithLanguage": f"{business.origin}/en",
        }
        return shaped(request, document)

    async def configuration(self, request: Request) -> Response:
        settings = {
            "PaymentProvider": "Stripe",
            "AllowSelfSignup": "True",
            "DefaultLanguage": "en",
            "PublicWebSite.Tour.TimeSlots.Enabled": "False",
        }
        return shaped(request, [{"Name": name, "Value": settings[name]} for name in settings])

    async def by_host(self, request: Request) -> Response:
        """Accepts a slug or a full host and answers in kind; what 'unknown' looks like is not
        documented.
        """
        business, asked = self.portal.world.business, request.query_params.get("host", "")
        if asked not in (business.space, f"{business.space}.spaces.nexudus.com"):
            raise Refusal(404)
        return shaped(request, {"Id": business.id, "WebAddress": asked})

    async def colors(self, request: Request) -> Response:
        return shaped(request, {"primary": "#1f5eff", "secondary": "#0b1f4d"})

    async def navigation(self, request: Request) -> Response:
        outline = '{"Items":[{"Name":"Dashboard","Url":"/","Icon":"home"}]}'
        return shaped(request, {"Json": outline})

    async def styles(self, _: Request) -> Response:
        return Response(b":root{--primary:#1f5eff}\n", media_type="text/css")

    async def announcements(self, request: Request) -> Response:
        self.portal.viewer(request)
        return shaped(request, [])

    async def price(self, request: Request) -> Response:
        """A POST that only reads (FACTS 5.4)."""
        self.portal.viewer(request)
        await request.body()
        return shaped(request, {"Price": 24.5, "DynamicPriceAdjustment": None, "Currency": "GBP"})

    async def file(self, request: Request) -> Response:
        """`?bytes=` bytes that depend on file and position only; one `Range` is honoured."""
        self.portal.viewer(request)
        file_id = id_of(request.path_params["file_id"])
        total = id_of(request.query_params.get("bytes", str(FILE_BYTES_DEFAULT)))
        if file_id < 0 or not 0 <= total <= FILE_BYTES_MAX:
            raise Refusal(404)
        headers = {
            "Accept-Ranges": "bytes",
            "Content-Disposition": f'attachment; filename="file-{file_id}.pdf"; '
            f"filename*=UTF-8''r%C3%A9sum%C3%A9-{file_id}.pdf",
        }
        span, status = range(total), 200
        partial = _span(request.headers.get("range", ""), total)
        if partial is not None:
            span, status = partial, 206
            headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{total}"
            if not span:
                return Response(status_code=416, headers={"Content-Range": f"bytes */{total}"})
        headers["Content-Length"] = str(len(span))
        sent = range(0) if request.method == "HEAD" else span
        return StreamingResponse(_chunks(file_id, sent), status, headers, "application/pdf")


def file_bytes(file_id: int, span: range) -> bytes:
    """What a file holds at these positions."""
    begin = (file_id * 31 + span.start) % len(_PATTERN)
    repeats = -(-(begin + len(span)) // len(_PATTERN))
    return (_PATTERN * repeats)[begin : begin + len(span)]


async def _chunks(file_id: int, span: range) -> AsyncIterator[bytes]:
    for start in range(span.start, span.stop, _CHUNK):
        yield file_bytes(file_id, range(start, min(start + _CHUNK, span.stop)))


def _span(header: str, total: int) -> range | None:
    """The positions that a Range header names, none of them when it cannot be satisfied.

    None for a header that is not understood, which is then ignored (RFC 9110 14.2).
    """
    understood = _RANGE.fullmatch(header.strip())
    first, last = understood.groups() if understood else ("", "")
    if first and (not last or int(first) <= int(last)):
        return range(min(int(first), total), min(total, int(last) + 1 if last else total))
    if last and not first:
        return range(max(0, total - int(last)), total)
    return None
