from __future__ import annotations

import gzip
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.sandbox.content import file_bytes
from bff.sandbox.echo import ELSEWHERE
from tests.unit.sandbox.space import ECHO, Space, fixture

PUBLIC = "/api/public"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (f"{PUBLIC}/businesses/current", "business_current.json"),
        (f"{PUBLIC}/configuration", "configuration.json"),
        (f"{PUBLIC}/outlines/navigation", "navigation_outline.json"),
        ("/api/sys/businesses/5001/colors", "business_colors.json"),
        ("/api/sys/businesses/getByHost?host=nexudushq", "get_by_host_slug.json"),
        (
            "/api/sys/businesses/getByHost?host=nexudushq.spaces.nexudus.com",
            "get_by_host.json",
        ),
    ],
)
async def test_the_space_answers_anybody_as_documented(space: Space, path: str, name: str) -> None:
    assert (await space.get(path, None)).json() == fixture(name)
    assert (await space.get(path)).json() == fixture(name)


async def test_styles_are_no_json(space: Space) -> None:
    answer = await space.get("/api/styles/styles.css", None)
    assert answer.headers["content-type"].startswith("text/css")


async def test_an_unknown_host_is_not_found(space: Space) -> None:
    for host in ("", "other", "nexudushq.evil.example.com"):
        answer = await space.get("/api/sys/businesses/getByHost", None, params={"host": host})
        assert answer.status_code == 404


async def test_announcements_want_a_token(space: Space) -> None:
    path = f"{PUBLIC}/announcements/active"
    assert (await space.get(path)).json() == fixture("announcements_active.json")
    assert (await space.get(path, None)).status_code == 401


async def test_the_space_is_shaped_and_so_is_a_list_at_the_root(space: Space) -> None:
    shape = {"_shape": "Name,WebAddress,Currency.Code,TimeZone"}
    assert (await space.get(f"{PUBLIC}/businesses/current", params=shape)).json() == {
        "Name": "Nexudus HQ",
        "WebAddress": "nexudushq",
        "Currency": {"Code": "GBP"},
        "TimeZone": "Europe/London",
    }
    names = (await space.get(f"{PUBLIC}/configuration", params={"_shape": "Name"})).json()
    assert names == [{"Name": each["Name"]} for each in fixture("configuration.json")]


async def test_a_price_is_a_read_by_post(space: Space) -> None:
    path = f"{PUBLIC}/bookings/price?_shape=Price,DynamicPriceAdjustment"
    answer = await space.call("POST", path, json={"ResourceId": 1})
    assert answer.json() == {"Price": 24.5, "DynamicPriceAdjustment": None}
    assert (await space.get(path)).status_code == 405


async def test_a_file_has_the_size_asked_for_and_a_name(space: Space) -> None:
    answer = await space.get(f"{PUBLIC}/files/9?bytes=200001")
    assert answer.status_code == 200
    assert answer.content == file_bytes(9, range(200_001))
    assert answer.headers["content-length"] == "200001"
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-disposition"].startswith('attachment; filename="file-9.pdf"')
    assert (await space.get(f"{PUBLIC}/files/9?bytes=0")).content == b""
    head = await space.call("HEAD", f"{PUBLIC}/files/9?bytes=200001")
    assert (head.headers["content-length"], head.content) == ("200001", b"")
    assert (await space.get(f"{PUBLIC}/files/9", None)).status_code == 401
    for path in ("files/x", "files/1?bytes=x", "files/1?bytes=9999999999"):
        assert (await space.get(f"{PUBLIC}/{path}")).status_code == 404


@pytest.mark.parametrize(
    ("header", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=70000-139999", 70_000, 139_999),
        ("bytes=199990-", 199_990, 199_999),
        ("bytes=-10", 199_990, 199_999),
        ("bytes=-999999", 0, 199_999),
        ("bytes=5-999999", 5, 199_999),
    ],
)
async def test_a_range_of_a_file(space: Space, header: str, first: int, last: int) -> None:
    answer = await space.get(f"{PUBLIC}/files/9?bytes=200000", headers={"Range": header})
    assert answer.status_code == 206
    assert answer.headers["content-range"] == f"bytes {first}-{last}/200000"
    assert answer.headers["content-length"] == str(last - first + 1)
    assert answer.content == file_bytes(9, range(200_000))[first : last + 1]


@pytest.mark.parametrize("header", ["bytes=200000-", "bytes=200000-300000", "bytes=-0"])
async def test_a_range_beyond_the_file(space: Space, header: str) -> None:
    answer = await space.get(f"{PUBLIC}/files/9?bytes=200000", headers={"Range": header})
    assert (answer.status_code, answer.content) == (416, b"")
    assert answer.headers["content-range"] == "bytes */200000"


@pytest.mark.parametrize("header", ["bytes=5-2", "bytes=-", "items=0-1", "bytes=0-1,3-4", "x"])
async def test_a_range_that_is_not_understood_is_ignored(space: Space, header: str) -> None:
    answer = await space.get(f"{PUBLIC}/files/9?bytes=100", headers={"Range": header})
    assert (answer.status_code, len(answer.content)) == (200, 100)


@given(st.integers(0, 10**18), st.integers(0, 10**9), st.integers(0, 70_000), st.data())
def test_a_part_of_a_file_is_part_of_the_whole(
    file_id: int, start: int, size: int, data: st.DataObject
) -> None:
    whole = file_bytes(file_id, range(start, start + size))
    at = data.draw(st.integers(0, size))
    to = data.draw(st.integers(at, size))
    assert len(whole) == size
    assert file_bytes(file_id, range(start + at, start + to)) == whole[at:to]


@pytest.mark.parametrize("prefix", [ECHO, f"{ECHO}/a%2Fb/c%20d", "/en/_echo/x"])
async def test_the_echo_shows_what_arrived(space: Space, prefix: str) -> None:
    answer = await space.call(
        "PATCH",
        f"{prefix}?a=1&a=2&b=%2F+",
        content=b"abc" * 1000,
        headers={"X-Twice": "1", "Cookie": "a=b"},
    )
    seen = answer.json()
    assert seen["Method"] == "PATCH"
    assert seen["RawPath"] == prefix
    assert seen["RawQuery"] == "a=1&a=2&b=%2F+"
    assert ["x-twice", "1"] in seen["Headers"]
    assert ["authorization", f"Bearer {space.demo}"] in seen["Headers"]
    assert seen["Body"] == {"Bytes": 3000, "Sha256": hashlib.sha256(b"abc" * 1000).hexdigest()}


async def test_two_cookies_are_two_headers(space: Space) -> None:
    answer = await space.get(f"{PUBLIC}/_cookies")
    assert len(answer.headers.get_list("set-cookie")) == 2
    space.client.cookies.clear()


async def test_a_body_may_come_compressed(space: Space) -> None:
    answer = await space.get(f"{PUBLIC}/_gzip")
    assert answer.headers["content-encoding"] == "gzip"
    assert int(answer.headers["content-length"]) == len(gzip.compress(b'{"Encoded":true}'))
    assert answer.json() == {"Encoded": True}


async def test_redirects(space: Space) -> None:
    async def location(path: str) -> tuple[int, str]:
        answer = await space.get(f"{PUBLIC}/_redirect/{path}")
        return answer.status_code, answer.headers["location"]

    assert await location("own") == (302, f"https://nexudushq.test{ECHO}")
    assert await location("relative?status=307") == (307, ECHO)
    assert await location("other") == (302, ELSEWHERE)
    assert await location("other?to=http://169.254.169.254/&status=200") == (
        302,
        "http://169.254.169.254/",
    )


async def test_no_other_shape_of_a_url_is_redirected(space: Space) -> None:
    assert (await space.get(f"{PUBLIC}/configuration/")).status_code == 404
