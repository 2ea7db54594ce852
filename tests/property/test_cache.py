"""What holds for any name, any document, any age and any order of events."""

from __future__ import annotations

import contextlib
import os
import re
from collections import OrderedDict

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from bff.cache import tags as tagging
from bff.cache.decide import MAX_SKEW_S, Freshness, Verdict, judge, remaining_s
from bff.cache.entry import Entry, Proof, pack, unpack
from bff.cache.envelope import Binding, Sealer
from bff.cache.keys import Address, Container, KeySpace, Scope, escape
from bff.cache.memory import ITEM_BYTES, MEMBER_BYTES, TAG_BYTES, TAGS_BYTES, Held, Memory
from bff.cache.secrets import Keyring
from bff.cache.store import header
from bff.errors import EnvelopeError

# Lone surrogates included; delimiters, escapes and what looks like one, far more often than by
# chance.
text = st.text(st.characters(), max_size=8) | st.text("|:%{}\n\0 7C2az\ud800\udfffé", max_size=8)
containers = st.builds(Container, text, st.sampled_from(Scope), text)
addresses = st.builds(Address, containers, text, text, text)
seconds = st.floats(0, 1e9)
windows = st.builds(Freshness, seconds, seconds, seconds)
moments = st.floats(-1e10, 1e10)

SEALER = Sealer(Keyring((b"first", b"second")), os.urandom)
KEYSPACE = KeySpace("bff")


@given(text, text)
def test_pitfall_5_escaping_is_injective(one: str, other: str) -> None:
    assert (escape(one) == escape(other)) == (one == other)


@given(text)
def test_pitfall_5_what_is_escaped_holds_no_delimiter(name: str) -> None:
    assert re.fullmatch(r"(?:[A-Za-z0-9_.-]|%[0-9A-F]{2})*", escape(name))


@given(addresses, addresses)
def test_pitfall_5_two_addresses_have_two_names(one: Address, other: Address) -> None:
    names = [(KEYSPACE.container(a.container), a.field) for a in (one, other)]
    assert (one.text == other.text) == (one == other)
    assert (names[0] == names[1]) == (one == other)


@given(st.tuples(text, text, text), st.data())
def test_pitfall_5_parts_divided_elsewhere_have_another_name(
    parts: tuple[str, str, str], data: st.DataObject
) -> None:
    whole = "|".join(parts)
    cuts = sorted(data.draw(st.tuples(*[st.integers(0, len(whole))] * 2)))
    others = (whole[: cuts[0]], whole[cuts[0] : cuts[1]], whole[cuts[1] :])
    assume(others != parts)
    container = Container("acme", Scope.TOKEN, "d")
    assert Address(container, *parts).text != Address(container, *others).text


@given(containers)
def test_a_container_stays_within_its_space(container: Container) -> None:
    name = KEYSPACE.container(container)
    assert name.isascii()
    assert name.startswith(KEYSPACE.base(container.space))
    assert name.count("{") == name.count("}") == 1


@given(st.lists(text, max_size=5), st.integers(0, 2**53))
def test_pitfall_5_any_tags_can_be_read_from_a_header_one_by_one(
    names: list[str], stamp: int
) -> None:
    made = [make(n) for n in names for make in (tagging.token, tagging.proof, tagging.resource)]
    clear = header(stamp, made)
    assert clear.endswith(b"\n")
    assert clear.count(b"\n") == 1
    assert clear.decode("ascii").split() == [str(stamp), *made]


@given(st.text(max_size=6))
def test_a_tag_of_any_other_form_is_refused(tag: str) -> None:
    try:
        clear = header(1, [tag])
    except ValueError:
        assert re.fullmatch(r"[!-~]+", tag) is None
    else:
        assert clear == f"1 {tag}\n".encode()
        assert len(clear.split()) == 2


@given(
    st.integers(0, 65_535),
    st.binary(max_size=300),
    st.floats(allow_nan=False),
    st.text(st.characters(max_codepoint=255), max_size=40),
    st.data(),
)
def test_an_entry_survives_its_byte_form(
    status: int, body: bytes, fetched_at: float, content_type: str, data: st.DataObject
) -> None:
    secret_at = data.draw(st.none() | st.integers(0, len(body)))
    entry = Entry(status, body, fetched_at, ("u:1",), content_type, secret_at)
    assert unpack(pack(entry), entry.tags) == entry


@given(st.binary(max_size=60))
def test_any_bytes_are_an_entry_or_refused(data: bytes) -> None:
    for read in (lambda: unpack(data, ()), lambda: Proof.unpack(data)):
        with contextlib.suppress(EnvelopeError):
            read()


@given(st.floats(0, 1e12), st.integers(1, 2**63 - 1), st.lists(st.integers(1, 2**63 - 1)))
def test_a_proof_survives_its_byte_form(
    accepted_at: float, user: int, coworkers: list[int]
) -> None:
    proof = Proof(accepted_at, user, tuple(coworkers))
    assert Proof.unpack(proof.pack()) == proof


bindings = st.builds(
    Binding,
    addresses.map(lambda a: a.text),
    st.builds(header, st.integers(0, 2**53), st.lists(st.just("u:1") | st.just("r:x"), max_size=2)),
    st.none() | st.text("ab", max_size=2),
)


@given(st.binary(max_size=400), bindings)
def test_what_is_sealed_opens(plain: bytes, binding: Binding) -> None:
    assert SEALER.open(SEALER.seal(plain, binding), binding) == plain


@given(st.binary(max_size=200), bindings, bindings)
def test_pitfall_8_a_value_opens_under_its_own_binding_only(
    plain: bytes, mine: Binding, other: Binding
) -> None:
    assume(mine != other)
    try:
        SEALER.open(SEALER.seal(plain, mine), other)
    except EnvelopeError:
        return
    raise AssertionError("opened under another binding")


@given(st.binary(max_size=200), bindings, st.data())
def test_an_altered_value_never_opens(plain: bytes, binding: Binding, data: st.DataObject) -> None:
    sealed = bytearray(SEALER.seal(plain, binding))
    place = data.draw(st.integers(0, len(sealed) - 1))
    sealed[place] ^= data.draw(st.integers(1, 255))
    try:
        SEALER.open(bytes(sealed), binding)
    except EnvelopeError:
        return
    raise AssertionError("opened although altered")


@given(st.binary(max_size=200), bindings)
def test_any_bytes_are_refused(data: bytes, binding: Binding) -> None:
    try:
        SEALER.open(data, binding)
    except EnvelopeError:
        return
    raise AssertionError("opened what was never sealed")


@given(moments, st.floats(0, 1e9), st.floats(0, 1e9), windows, st.none() | moments)
def test_nothing_grows_fresher_with_time(
    fetched_at: float, age: float, more: float, freshness: Freshness, until: float | None
) -> None:
    now, later = fetched_at + age, fetched_at + age + more
    assert judge(fetched_at, now, freshness, until) <= judge(fetched_at, later, freshness, until)


@given(moments, moments, windows, moments)
def test_after_its_tokens_expiry_nothing_is_served(
    fetched_at: float, now: float, freshness: Freshness, until: float
) -> None:
    if now >= until:
        assert judge(fetched_at, now, freshness, until) is Verdict.DEAD
    else:
        without = judge(fetched_at, now, freshness, None)
        assert judge(fetched_at, now, freshness, until) is without


@given(st.floats(0, 1e8), st.floats(0, 1e8), windows, st.none() | st.floats(0, 1e8))
def test_what_is_fresh_has_freshness_left_and_what_is_not_has_none(
    fetched_at: float, now: float, freshness: Freshness, until: float | None
) -> None:
    assume(now - fetched_at >= -MAX_SKEW_S)
    left = remaining_s(fetched_at, now, freshness, until)
    # Whole seconds, and sums of floats: exact but for the last.
    if judge(fetched_at, now, freshness, until) is Verdict.FRESH:
        assert left >= -1
    else:
        assert left <= 0


@given(moments, windows)
def test_a_store_need_not_keep_what_is_past_every_window(
    fetched_at: float, freshness: Freshness
) -> None:
    now = fetched_at + freshness.keep_s + 1e-3
    assume(now - fetched_at >= freshness.keep_s)
    late = judge(fetched_at, now + 1, freshness, None)
    assert late is Verdict.DEAD


class MemoryMachine(RuleBasedStateMachine):
    """Beside a model that lists its items in the order of their use."""

    tickets = Bundle("tickets")
    keys = st.sampled_from("abcdefgh")
    tag_sets = st.frozensets(
        st.tuples(st.sampled_from(["acme", "beta"]), st.sampled_from(["u:1", "u:2", "c:1"])),
        max_size=3,
    )

    def __init__(self) -> None:
        super().__init__()
        self.memory = Memory(6_000)
        self.model: OrderedDict[str, Held] = OrderedDict()
        self.drops: list[tuple[int, frozenset[tuple[str, str]] | None]] = []
        self.moment = 0

    def bytes_of(self, items: OrderedDict[str, Held]) -> int:
        own = sum(held.cost + ITEM_BYTES for held in items.values())
        carried = {held.tags for held in items.values()}
        found = sum(TAGS_BYTES + MEMBER_BYTES * len(tags) for tags in carried)
        return own + found + TAG_BYTES * len({tag for tags in carried for tag in tags})

    @rule(target=tickets)
    def ticket(self) -> tuple[int, int]:
        return self.memory.ticket(), self.moment

    @rule(
        key=keys,
        cost=st.integers(0, 3_000) | st.just(20_000),
        lives_s=st.integers(0, 5),
        tags=tag_sets,
        taken=tickets,
    )
    def put(
        self,
        key: str,
        cost: int,
        lives_s: int,
        tags: frozenset[tuple[str, str]],
        taken: tuple[int, int],
    ) -> None:
        held = Held(object(), cost, self.moment + lives_s, tags)
        ticket, moment = taken
        overtaken = any(
            at > moment and (dropped is None or dropped & tags) for at, dropped in self.drops
        )
        kept = not overtaken
        if not overtaken:
            self.model.pop(key, None)
            alone = OrderedDict({key: held})
            kept = self.bytes_of(alone) <= self.memory.max_bytes
            if kept:
                self.model[key] = held
                while self.bytes_of(self.model) > self.memory.max_bytes:
                    self.model.popitem(last=False)
        assert self.memory.put(key, held, ticket) == kept

    @rule(key=keys)
    def get(self, key: str) -> None:
        held = self.model.get(key)
        if held is not None and self.moment >= held.expires:
            del self.model[key]
            held = None
        if held is not None:
            self.model.move_to_end(key)
        assert self.memory.get(key, self.moment) is (held.value if held else None)

    @rule(space=st.sampled_from(["acme", "beta"]), tags=st.sets(st.sampled_from(["u:1", "c:1"])))
    def drop(self, space: str, tags: set[str]) -> None:
        dropped = frozenset((space, tag) for tag in tags)
        gone = [key for key, held in self.model.items() if held.tags & dropped]
        for key in gone:
            del self.model[key]
        self.moment += 1
        self.drops.append((self.moment, dropped))
        assert self.memory.drop(space, tags) == len(gone)

    @rule()
    def clear(self) -> None:
        self.model.clear()
        self.moment += 1
        self.drops.append((self.moment, None))
        self.memory.forget()

    @rule()
    def wait(self) -> None:
        self.moment += 1

    @invariant()
    def it_never_takes_more_than_its_bytes(self) -> None:
        assert self.memory.used_bytes == self.bytes_of(self.model) <= self.memory.max_bytes
        assert len(self.memory) == len(self.model)


MemoryMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestMemory = MemoryMachine.TestCase
