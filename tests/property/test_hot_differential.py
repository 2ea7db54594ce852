"""A hot answer is what the usual way would answer now, whatever is asked and whatever happened.

Each request is asked both ways on one state. Pitfalls 1, 3, 4, 5, 11, 16 and 22 at once.
`BFF_HOT_EXAMPLES` asks for more examples, and then for other ones in each run.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bff.cache.invalidation import EVERYTHING
from bff.edge.gateway import Gateway
from bff.edge.hot import HotAnswers
from bff.observe import logs
from bff.sandbox.effects import Status
from tests.support.asgi_call import AsgiCall
from tests.support.fake_clock import START
from tests.support.gateway import (
    BOOTSTRAP,
    EMBEDDED,
    OPS_TOKEN,
    PROFILES,
    SWITCH,
    Member,
    Stage,
    Tenant,
    bearer,
    related,
    stage,
)

EXAMPLES: Final = os.environ.get("BFF_HOT_EXAMPLES")

Pairs = tuple[tuple[bytes, bytes], ...]
VOLATILE: Final = frozenset((b"x-request-id", b"server-timing"))
HOSTS: Final = ("alpha.test", "beta.test")
TARGETS: Final = (
    BOOTSTRAP, BOOTSTRAP, BOOTSTRAP, PROFILES, related(101), related(202), related(145),
    BOOTSTRAP + "/", "/session/%62ootstrap", "/SESSION/bootstrap",
)  # fmt: skip
QUERIES: Final = (
    b"", b"", b"_shape=User.Id,User.Email", b"_shape=User.Email,User.Id", b"_shape=User",
    b"_shape=@portal", b"_shape=@mobile", b"_shape=RelatedProfiles.Id", b"_shape=Threads,User.Id",
    b"_shape=Profiles.Id", b"_shape=No.Such", b"_shape=Bootstrap", b"_shape=,", b"_shape=",
    b"_shape=User.Id&coworkerId=101", b"coworkerId=145", b"coworkerId=0101", b"_shape=User.%49d",
    b"%5Fshape=User.Id", b"_shape=User.Id&", b"&_shape=User.Id", b"_shape=User.Id&_shape=User.Id",
    b"_shape=+User.Id", b"_shape=A..B", b"_shape=@nobody", b"_shape=@portal,User", b"x=1",
    b"_shape=User.Id#", b"_shape=" + b"User.Id," * 256 + b"User.Id",
    b"_shape=" + b"a" * 4_097, b"_shape=User\0", b"_SHAPE=User.Id", b"_shape",
)  # fmt: skip
HEADERS: Final = (
    (b"accept-encoding", b"br"), (b"accept-encoding", b" br"), (b"accept-encoding", b"br;q=0"),
    (b"accept-encoding", b"zstd"), (b"accept-encoding", b"identity;q=0"),
    (b"accept-encoding", b""), (b"Accept-Encoding", b"br"), (b"accept-language", b"es"),
    (b"accept-language", b"\xe9"), (b"accept-language", b""), (b"accept-language", b"x" * 129),
    (b"x-use-timezone", b"true"), (b"x-use-timezone", b"TRUE"), (b"x-use-timezone", b"maybe"),
    (b"origin", b"http://portal.test"), (b"origin", b""), (b"origin", b"null"),
    (b"origin", b"http://stranger.test"), (b"cookie", b"a=b"), (b"cookie", b""),
    (b"x-request-id", b"chosen-by-me"), (b"x-request-id", b"no"), (b"x-request-id", b"\xff" * 9),
    (b"if-match", b'"x"'), (b"if-modified-since", b"Sat, 01 Jan 2028 00:00:00 GMT"),
    (b"range", b"bytes=0-1"), (b"expect", b"100-continue"), (b"upgrade", b"h2c"),
    (b"connection", b"authorization"), (b"cache-control", b"no-cache"), (b"pragma", b"no-cache"),
    (b"x-forwarded-host", b"beta.test"), (b"x-http-method-override", b"POST"),
    (b"content-length", b"0"), (b"content-length", b"5"), (b"transfer-encoding", b"chunked"),
    (b"host", b"beta.test"), (b"authorization", b"Bearer x"), (b"Authorization", b"Bearer x"),
    (b"", b""), (b"x_y", b"\0"), (b"te", b"trailers"), (b"traceparent", b"00-nonsense"),
)  # fmt: skip
TWICE: Final = tuple(
    (name, value)
    for name in (
        b"authorization",
        b"Authorization",
        b"host",
        b"Accept-Encoding",
        b"accept-encoding",
    )
    for value in (b"Bearer x", b"br")
)
CREDENTIALS: Final = (
    b"bearer %b", b"Bearer  %b", b" Bearer %b", b"Bearer %b ", b"Bearer\t%b", b"%b", b"Bearer %b,",
    b"Bearer %b\0", b"Basic %b", b"Bearer %b%b", b"",
)  # fmt: skip
SPELLED: Final = (b"%b:80", b"%b.", b" %b", b"%b@", b"%b\0", b"x%b", b"", b"ALPHA.test")
USUAL: Final[tuple[Pairs, ...]] = (
    (), ((b"accept-encoding", b"br"),), ((b"origin", b"http://portal.test"),),
    ((b"accept-encoding", b"gzip, deflate"), (b"origin", b"http://portal.test")),
    ((b"accept-language", b"es"), (b"cookie", b"a=b"), (b"origin", b"http://other.test")),
)  # fmt: skip
OWN: Final = b"%b"
VALIDATORS: Final = (OWN, b"W/%b", b'"x", %b', b" %b", b"*", b"%b ")
PLAIN: Final = ("", b"")
BRIEF: Final = 3
"""Of the members, the one whose token ends before anything else does."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request so many times as it is, once with something `odd`, once with its validator."""

    who: int
    target: str
    query: bytes
    more: Pairs
    times: int
    odd: tuple[str, bytes | Pairs]


@dataclass(frozen=True, slots=True)
class Happened:
    """Something that may end answers: see `Play.happens`."""

    who: int
    what: str


ODD: Final = st.one_of(
    st.tuples(st.sampled_from(("header", "first")), st.sampled_from([(h,) for h in TWICE])),
    st.tuples(st.sampled_from(("header", "first")), st.sampled_from([(h,) for h in HEADERS])),
    st.tuples(st.just("credentials"), st.sampled_from(CREDENTIALS)),
    st.tuples(st.just("host"), st.sampled_from(SPELLED)),
    st.tuples(st.just("query"), st.sampled_from(QUERIES)),
    st.tuples(st.just("method"), st.sampled_from((b"HEAD", b"OPTIONS", b"get", b"POST"))),
    st.tuples(st.sampled_from(("tag", "another tag")), st.sampled_from(VALIDATORS)),
)
ASKED: Final = st.builds(
    Asked,
    who=st.sampled_from((0, 0, 0, 1, 2, BRIEF, 4)),
    target=st.sampled_from(TARGETS),
    query=st.sampled_from(QUERIES),
    more=st.sampled_from(USUAL),
    times=st.integers(2, 4),
    odd=ODD,
)
# In eighths, and such that no few of them come back to within a second of where they began.
LEAPS: Final = {"seconds": 7.375, "minute": 61.5, "back": -4.0}
EVENTS: Final = (
    *LEAPS, "seconds", "switch", "purge", "user", "revoke", "demote", "restore", "fails", "heals",
    "edit", "elsewhere",
)  # fmt: skip
HAPPENED: Final = st.builds(Happened, who=st.integers(0, 4), what=st.sampled_from(EVENTS))
STEPS: Final = st.lists(st.one_of(ASKED, ASKED, ASKED, HAPPENED), min_size=2, max_size=12)


@dataclass(slots=True)
class Play:
    """One example after another on one stage. `compared`: by status, over all of them."""

    opened: Stage
    app: Gateway
    hot: HotAnswers
    members: list[tuple[Tenant, Member]] = field(default_factory=list)
    seen: list[bytes] = field(default_factory=list)
    compared: Counter[int] = field(default_factory=Counter)

    async def example(self, steps: list[Asked | Happened]) -> None:
        """Everything is forgotten first; then each step in turn."""
        one, other = self.opened.tenants
        self.opened.clock.advance(START - self.opened.clock.wall())
        for tenant in (one, other):
            tenant.release()
            tenant.sandbox.world.switch(7001, 101)
            await self._operate("sharing", tenant, {"scope": "coworker"})
            await self._operate("purge", tenant, {"everything": True})
        self.hot._memory.forget()
        brief = Member(7001, 101, one.alice.canary, one.mint(one.alice, jwt=True, ttl_s=40))
        again = one.another(one.alice)
        self.members = [(one, each) for each in (one.alice, one.bob, again, brief)]
        self.members.append((other, other.alice))
        self.seen = []
        for step in steps:
            if isinstance(step, Asked):
                for what, odd in (*[PLAIN] * step.times, step.odd, ("tag", OWN)):
                    await self.both(step, what, odd)
            else:
                await self.happens(step.what, *self.members[step.who])

    async def both(self, step: Asked, what: str, odd: bytes | Pairs) -> None:
        """One request, both ways."""
        call = self._call(step, what, odd)
        found, usual = self.hot.find(AsgiCall(*call).scope), AsgiCall(*call)
        self.app.hot = None
        await self.app(usual.scope, usual.receive, usual.send)
        self.app.hot = self.hot
        if found is not None:
            quick = AsgiCall(*call)
            quick.sent += found
            self.compared[usual.status] += 1
            names = [name for name, _ in quick.headers]
            assert len(set(names)) == len(names)
            assert set(names) >= VOLATILE
            assert told(quick) == told(usual), (step, what, odd)
        self.hot.settle()
        self.seen += [value for name, value in usual.headers if name == b"etag"]

    def _call(
        self, step: Asked, what: str, odd: bytes | Pairs
    ) -> tuple[str, bytes, bytes, list[tuple[bytes, bytes]]]:
        tenant, member = self.members[step.who]
        fields = {"credentials": b"Bearer %b", "host": b"%b", "query": step.query, "method": b"GET"}
        if isinstance(odd, bytes) and what in fields:
            fields[what] = odd
        given = [
            (b"host", fields["host"].replace(b"%b", tenant.host.encode())),
            (b"authorization", fields["credentials"].replace(b"%b", member.token.encode())),
            *step.more,
        ]
        if not isinstance(odd, bytes):
            given = [*given, *odd] if what == "header" else [*odd, *given]
        elif what.endswith("tag"):
            tag = self.seen[-1 if what == "tag" else 0] if self.seen else b'"none"'
            given.append((b"if-none-match", odd.replace(b"%b", tag)))
        return fields["method"].decode(), step.target.encode(), fields["query"], given

    async def happens(self, what: str, tenant: Tenant, member: Member) -> None:
        """Time, writes, operators, Nexudus, another process."""
        match what:
            case "seconds" | "minute" | "back":
                self.opened.clock.advance(LEAPS[what])
            case "switch":
                target = f"{SWITCH}?coworkerId={145 if member is tenant.alice else 101}"
                await self._sent("PUT", target, tenant, member)
            case "purge":
                await self._operate("purge", tenant, {"everything": True})
            case "user":
                await self._operate("purge", tenant, {"user": member.user_id})
            case "revoke" if member not in (tenant.alice, tenant.bob):
                tenant.sandbox.tokens.revoke(member.token)
                await self._sent("GET", "/api/public/coworkers/x", tenant, member)
            case "demote" | "restore":
                scope = "token" if what == "demote" else "coworker"
                await self._operate("sharing", tenant, {"scope": scope})
            case "fails":
                tenant.fault(Status(503), related(101))
            case "heals":
                tenant.release()
            case "edit":
                tenant.sandbox.world.edit(101, {"Edited": str(len(self.seen))})
            case "elsewhere":  # as the bus tells of what another process dropped
                self.hot._memory.drop(_space(tenant), EVERYTHING)

    async def _sent(self, method: str, target: str, tenant: Tenant, member: Member) -> None:
        path, _, query = target.partition("?")
        token = f"Bearer {member.token}".encode()
        headers = [(b"host", tenant.host.encode()), (b"authorization", token)]
        made = AsgiCall(method, path.encode(), query.encode(), headers)
        await self.app(made.scope, made.receive, made.send)

    async def _operate(self, what: str, tenant: Tenant, asked: dict[str, object]) -> None:
        headers = [(name.encode(), text.encode()) for name, text in bearer(OPS_TOKEN).items()]
        headers += [(b"host", b"ops.test"), (b"content-type", b"application/json")]
        body = orjson.dumps({"space": _space(tenant), **asked})
        made = AsgiCall("POST", f"/ops/api/{what}".encode(), b"", headers, [body])
        await self.app(made.scope, made.receive, made.send)
        assert made.status == 200, made.body


def _space(tenant: Tenant) -> str:
    return tenant.origin.removeprefix("http://")


def told(answer: AsgiCall) -> bytes:
    """What two answers to one request have in common."""
    kept = sorted(pair for pair in answer.headers if pair[0] not in VOLATILE)
    lines = [b"%d" % answer.status, *(b": ".join(pair) for pair in kept), b"", answer.body]
    return b"\n".join(lines)


@pytest.fixture(scope="module")
def played() -> Iterator[tuple[asyncio.Runner, Play]]:
    """A gateway of two spaces, on a loop of its own."""
    level = logs.level()
    logs.set_level("error")
    with asyncio.Runner() as runner:
        origins = {"BFF_CORS_ORIGINS": "http://portal.test,http://other.test"}
        entered = stage(EMBEDDED, hosts=HOSTS, env=origins)
        opened = runner.run(entered.__aenter__())
        app = opened.gateways[0].app
        assert isinstance(app, Gateway)
        assert app.hot is not None
        try:
            yield runner, Play(opened, app, app.hot)
        finally:
            runner.run(entered.__aexit__(None, None, None))
            logs.set_level(level)


def test_pitfall_1_a_hot_answer_is_what_the_usual_way_answers(
    played: tuple[asyncio.Runner, Play],
) -> None:
    runner, play = played

    @settings(
        max_examples=int(EXAMPLES or 150),
        derandomize=EXAMPLES is None,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(STEPS)
    def plays(steps: list[Asked | Happened]) -> None:
        runner.run(play.example(steps))

    plays()
    assert play.compared[200] > 80
    assert play.compared[304] > 40
