"""A stored document survives its byte form, and nothing else passes for one."""

from __future__ import annotations

import struct

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.cache.entry import Entry, Proof, pack, unpack
from bff.errors import EnvelopeError

BODY = b'{"User":{"AccessToken":,"Id":5}}'
ENTRY = Entry(200, BODY, 1_700_000_000.25, ("r:profiles", "u:5"), secret_at=BODY.index(b',"Id'))
PROOF = Proof(1_700_000_000.25, 5, (101, 2**63 - 1))


@pytest.mark.parametrize(
    "entry",
    [
        ENTRY,
        Entry(404, b"", 0.0, (), content_type=""),
        Entry(200, b"null", -1.5, ("r:x",), content_type="text/plain; charset=\xe9"),
        Entry(200, b"abc", 1e9, (), secret_at=3),
    ],
)
def test_what_is_packed_is_unpacked(entry: Entry) -> None:
    assert unpack(pack(entry), entry.tags) == entry


def test_the_callers_own_token_stands_in_its_place() -> None:
    body = orjson.loads(ENTRY.body_for('quote " and é'))
    assert body == {"User": {"AccessToken": 'quote " and é', "Id": 5}}


def test_a_body_without_a_secret_is_the_same_for_everybody() -> None:
    assert Entry(200, b"{}", 0.0, ()).body_for("token") == b"{}"


def test_a_document_has_an_empty_text_where_the_token_belongs() -> None:
    assert ENTRY.document() == {"User": {"AccessToken": "", "Id": 5}}


def test_printing_an_entry_shows_no_body() -> None:
    assert f"{ENTRY!r}" == "Entry(status=200, 32 bytes, fetched_at=1700000000.25)"


@pytest.mark.parametrize("length", range(17))
def test_a_head_cut_short_is_refused(length: int) -> None:
    with pytest.raises(EnvelopeError):
        unpack(pack(ENTRY)[:length], ())


@pytest.mark.parametrize(
    "head",
    [
        (0, 200, 0.0, -1, 0),
        (2, 200, 0.0, -1, 0),
        (1, 200, 0.0, -2, 0),
        (1, 200, 0.0, 4, 0),
        (1, 200, 0.0, -1, 4),
        (1, 200, 0.0, 2, 2),
    ],
)
def test_a_head_that_does_not_fit_its_body_is_refused(
    head: tuple[int, int, float, int, int],
) -> None:
    with pytest.raises(EnvelopeError):
        unpack(struct.pack(">BHdiH", *head) + b"abc", ())


@given(
    accepted_at=st.floats(allow_nan=False),
    user=st.integers(0, 2**63 - 1),
    coworkers=st.lists(st.integers(0, 2**63 - 1), max_size=70),
)
def test_a_proof_survives_its_byte_form(
    accepted_at: float, user: int, coworkers: list[int]
) -> None:
    proof = Proof(accepted_at, user, tuple(coworkers))
    assert Proof.unpack(proof.pack()) == proof


def test_a_proof_of_three_coworkers_is_short() -> None:
    assert len(Proof(1.8e9, 1_415_829_301, (1_415_829_302, 7, 8)).pack()) == 10 + 4 * 4


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        PROOF.pack()[:9],
        PROOF.pack()[:10],
        PROOF.pack()[:-1],
        PROOF.pack() + b"x",
        b"\x01" + PROOF.pack()[1:],
        b"\x03" + PROOF.pack()[1:],
        PROOF.pack()[:9] + b"\x00" + PROOF.pack()[10:],
        b"[1,1700000000.25,5,[101]]",
    ],
)
def test_another_form_is_no_proof(stored: bytes) -> None:
    with pytest.raises(EnvelopeError):
        Proof.unpack(stored)
