"""The scripts of a lock against what they are for, told in terms of who came before what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import redis
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, rule

from bff.cache.remote import FENCE_MS, LIVE_MS, PROOF_FIELD, script
from tests.support.redis_server import HOST

BASE = "lock-machine:"
LABEL = "k:d1"
LOCK = BASE + "lock:x"
CONCERNING = ("k:d1", "p:d1", "c:8", "u:1", "r:related")
"""Its own container; and any dropped generation may concern the document."""
UNCONCERNED = ("k:d2", "p:d2")
INBOXES = ("to:a", "to:b", "to:c")


@dataclass(slots=True)
class Claimer:
    """A flight: when it looked in the store, and with which stamp."""

    owner: str
    looked: int
    stamp: int
    inbox: str
    gone: bool = False


@dataclass(slots=True)
class Held:
    by: Claimer
    landed: bool = False


class LockMachine(RuleBasedStateMachine):
    """`moment` counts events: `drops` are invalidations that concern the lock, `changes` any."""

    claimers = Bundle("claimers")
    port = 0

    def __init__(self) -> None:
        super().__init__()
        self.client = redis.Redis(host=HOST, port=self.port)
        self.client.flushall()
        self.heard = {
            inbox: self.client.pubsub()  # type: ignore[no-untyped-call]
            for inbox in INBOXES
        }
        for inbox, channel in self.heard.items():
            channel.subscribe(inbox)
            channel.get_message(timeout=1)
        names = ("load", "invalidate", "claim", "seize", "renew")
        texts = {name: script(name) for name in names}
        texts |= {name: script("unlock", name) for name in ("release", "save")}
        self.scripts = {name: self.client.register_script(text) for name, text in texts.items()}
        self.moment = 0
        self.drops: list[int] = []
        self.changes: list[int] = []
        self.held: Held | None = None
        self.waiting: set[str] = set()

    def teardown(self) -> None:
        for channel in self.heard.values():
            channel.close()
        self.client.close()

    @rule(target=claimers, inbox=st.sampled_from(INBOXES))
    def hesitate(self, inbox: str) -> Claimer:
        return self.look(inbox)

    def look(self, inbox: str) -> Claimer:
        self.moment += 1
        [stamp] = self._run("load", [BASE + "clock"], [BASE + "g:"])
        return Claimer(f"{inbox}#{self.moment}", self.moment, int(str(stamp)), inbox)

    @rule(target=claimers, inbox=st.sampled_from(INBOXES), seen=st.booleans())
    def come(self, inbox: str, seen: bool) -> Claimer:
        claimer = self.look(inbox)
        self.claim(claimer, seen)
        return claimer

    @rule(target=claimers, inbox=st.sampled_from(INBOXES))
    def seize(self, inbox: str) -> Claimer:
        """Without a look: only what nobody leads or has led, and where nothing is stored."""
        keys = [LOCK, BASE + "clock", BASE + "gone:nobody", LOCK, BASE + LABEL]
        if not self.client.hexists(BASE + "clock", "bumped"):
            assert self._run("seize", keys, ("nobody", 60_000, inbox, "", "field")) == []
        claimer = self.look(inbox)  # for comparison: nothing comes between
        free = self.held is None and not self.client.hexists(BASE + LABEL, "field")
        answer = self._run("seize", keys, (claimer.owner, 60_000, inbox, "", "field"))
        assert answer == ([str(claimer.stamp)] if free else [])
        if free:
            self.held, self.waiting = Held(claimer), set()
        return claimer

    @rule(stored=st.booleans())
    def end(self, stored: bool) -> None:
        if self.held is not None:
            self.release(self.held.by, stored)

    @rule(tag=st.sampled_from(CONCERNING + UNCONCERNED))
    def invalidate(self, tag: str) -> None:
        self.moment += 1
        args = (BASE, FENCE_MS, "bus", "dropped", LIVE_MS, PROOF_FIELD, tag)
        self._run("invalidate", [BASE + "clock", BASE + "processes"], args)
        self.changes.append(self.moment)
        if tag in CONCERNING:
            self.drops.append(self.moment)

    @rule(claimer=claimers, seen=st.booleans())
    def claim_late(self, claimer: Claimer, seen: bool) -> None:
        self.claim(claimer, seen)

    @rule(claimer=claimers, stored=st.booleans(), unheard=st.booleans())
    def release_any(self, claimer: Claimer, stored: bool, unheard: bool) -> None:
        self.release(claimer, stored, unheard)

    def claim(self, claimer: Claimer, seen: bool) -> None:
        after = self.held.by.owner if seen and self.held else ""
        keys = [LOCK, BASE + "clock", f"{BASE}f:{LABEL}", self._mark(claimer)]
        args = (claimer.owner, claimer.stamp, 60_000, claimer.inbox, "1", after, "overtaken", "!")
        how, *rest = self._run("claim", keys, args)
        held = self.held
        if claimer.gone:  # by its own release: it takes nothing
            assert how == "lead"
            assert self.client.hget(LOCK, "owner") == (held and held.by.owner.encode())
            assert self._told() == {}
            return
        if held is None:
            assert how == "lead"
        elif how == "lead":
            if self._overtaken(held):
                came_before = not any(
                    held.by.looked < change < claimer.looked for change in self.changes
                )
                assert not came_before or (held.landed and seen)
                assert self._told() == {inbox: ["overtaken"] for inbox in self.waiting}
            else:
                assert held.landed
                assert seen
        else:
            # Between its look and the holder's nothing was dropped that concerns them.
            assert not any(held.by.looked < drop < claimer.looked for drop in self.drops)
            assert rest[0] == held.by.owner
            assert (how == "landed") == held.landed
            assert not (held.landed and seen)
            if how == "wait":
                assert 0 < int(str(rest[1])) <= 60_000
                self.waiting.add(claimer.inbox)
        if how == "lead":
            self.held, self.waiting = Held(claimer), set()
        assert self._told() == {}

    def release(self, claimer: Claimer, stored: bool, unheard: bool = False) -> None:
        args = (claimer.owner, "end", 60_000 * stored, 60_000 * unheard)
        [released] = self._run("release", [LOCK, self._mark(claimer)], args)
        if self._holds(claimer):
            assert released == 1
            assert self._told() == {inbox: ["end"] for inbox in self.waiting}
            self.held, self.waiting = (Held(claimer, landed=True) if stored else None), set()
        else:
            assert released == 0
            assert self._told() == {}
            claimer.gone = claimer.gone or unheard

    @rule(claimer=claimers)
    def store_and_end(self, claimer: Claimer) -> None:
        """What is not saved, since something was dropped, releases nothing."""
        keys = [BASE + "clock", BASE + LABEL, f"{BASE}f:{LABEL}", LOCK]
        args = ("g:", claimer.stamp, 60_000, "u:1", 8, claimer.owner, "end", 60_000, "field", "it")
        saved = self.scripts["save"](keys, args)
        if saved and self._holds(claimer):
            assert self._told() == {inbox: ["end"] for inbox in self.waiting}
            self.held, self.waiting = Held(claimer, landed=True), set()
        else:
            assert self._told() == {}

    @rule(claimer=claimers)
    def renew(self, claimer: Claimer) -> None:
        free = BASE + "lock:free"
        states = self._run("renew", [free, LOCK], [30_000, claimer.owner, claimer.owner])
        assert states == [0, 2 if self._holds(claimer) else 0]

    @rule()
    def expire(self) -> None:
        self.client.delete(LOCK)
        self.held, self.waiting = None, set()

    @rule()
    def lose_the_clock(self) -> None:
        """Evicted: of what was dropped before nothing is known, of later looks everything."""
        self.moment += 1
        self.changes.append(self.moment)
        self.client.delete(BASE + "clock")

    def _holds(self, claimer: Claimer) -> bool:
        held = self.held
        return held is not None and not held.landed and held.by.owner == claimer.owner

    def _mark(self, claimer: Claimer) -> str:
        return f"{BASE}gone:{claimer.owner}"

    def _overtaken(self, held: Held) -> bool:
        """Or the clock was lost, which the next look notes like a drop of everything."""
        if any(held.by.looked < drop for drop in self.drops):
            return True
        bumped = self.client.hget(BASE + "clock", "bumped")
        assert bumped is None or isinstance(bumped, bytes)
        return bumped is None or int(bumped) >= held.by.stamp

    def _told(self) -> dict[str, list[str]]:
        """What each process was told since it was asked last."""
        self.client.ping()
        found: dict[str, list[str]] = {}
        for inbox, channel in self.heard.items():
            while message := channel.get_message():
                if message["data"] != b"!":
                    found.setdefault(inbox, []).append(message["data"].decode())
        return found

    def _run(self, name: str, keys: list[str], args: Sequence[str | int]) -> list[object]:
        answer = self.scripts[name](keys, args)
        assert isinstance(answer, list)
        return [each.decode() if isinstance(each, bytes) else each for each in answer]
