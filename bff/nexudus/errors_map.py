"""The one place where failures of the HTTP library become the gateway's own."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import httpcore
import httpx

from bff.errors import Overloaded, UnusableAnswer, UpstreamDown, UpstreamError, UpstreamTimeout

_NO_CONNECTION: Final = "no connection to Nexudus"
_BROKEN: Final = "the connection to Nexudus broke"
_SILENT: Final = "Nexudus did not answer in time"
_BUSY: Final = "every connection to Nexudus is busy"
_UNREADABLE: Final = "Nexudus' answer cannot be read"

MAPPED: Final[Mapping[type[Exception], tuple[type[UpstreamError], str]]] = MappingProxyType(
    {
        httpx.HTTPError: (UpstreamDown, _BROKEN),
        httpx.RequestError: (UpstreamDown, _BROKEN),
        httpx.TransportError: (UpstreamDown, _BROKEN),
        httpx.TimeoutException: (UpstreamTimeout, _SILENT),
        httpx.ConnectTimeout: (UpstreamDown, _NO_CONNECTION),
        httpx.ReadTimeout: (UpstreamTimeout, _SILENT),
        httpx.WriteTimeout: (UpstreamTimeout, "Nexudus did not take the request in time"),
        httpx.PoolTimeout: (Overloaded, _BUSY),
        httpx.NetworkError: (UpstreamDown, _BROKEN),
        httpx.ConnectError: (UpstreamDown, _NO_CONNECTION),
        httpx.ReadError: (UpstreamDown, _BROKEN),
        httpx.WriteError: (UpstreamDown, _BROKEN),
        httpx.CloseError: (UpstreamDown, _BROKEN),
        httpx.ProtocolError: (UpstreamDown, _BROKEN),
        httpx.LocalProtocolError: (UpstreamDown, "the request cannot be written"),
        httpx.RemoteProtocolError: (UpstreamDown, _BROKEN),
        httpx.ProxyError: (UpstreamDown, _NO_CONNECTION),
        httpx.UnsupportedProtocol: (UpstreamDown, _NO_CONNECTION),
        httpx.DecodingError: (UnusableAnswer, _UNREADABLE),
        httpx.TooManyRedirects: (UnusableAnswer, _UNREADABLE),
        httpx.HTTPStatusError: (UnusableAnswer, _UNREADABLE),
        httpx.InvalidURL: (UnusableAnswer, _UNREADABLE),
        httpx.CookieConflict: (UnusableAnswer, _UNREADABLE),
        httpx.StreamError: (UpstreamDown, _BROKEN),
        httpx.StreamConsumed: (UpstreamDown, _BROKEN),
        httpx.StreamClosed: (UpstreamDown, _BROKEN),
        httpx.ResponseNotRead: (UpstreamDown, _BROKEN),
        httpx.RequestNotRead: (UpstreamDown, _BROKEN),
    }
)

BELOW: Final[Mapping[type[Exception], type[Exception]]] = MappingProxyType(
    {
        getattr(httpcore, name): getattr(httpx, name)
        for name in httpcore.__all__
        if getattr(httpx, name, object) in MAPPED
    }
)
"""What httpcore's failures are called by httpx."""


def translated(error: Exception) -> UpstreamError:
    """The gateway's error for any failure below it.

    Its message names the class and never repeats the text, which can quote a header value. What
    the libraries below httpx let escape (h2, anyio, OSError) is a broken connection.
    """
    for kind in (BELOW.get(kind, kind) for kind in type(error).__mro__):
        if kind in MAPPED:
            ours, message = MAPPED[kind]
            break
    else:
        ours, message = UpstreamDown, _BROKEN
    return ours(f"{message} ({type(error).__name__})")
