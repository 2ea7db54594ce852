"""The webhook door: who gets in, and that it happens once."""

from __future__ import annotations

import hashlib
import traceback

import pytest

from bff.errors import CredentialsError, HeaderError
from bff.hooks import Accepted, Affected, WebhookReceiver
from tests.unit.hooks.world import BODY, JANE, OTHER_SECRET, SECRET, World, sign


async def test_a_signed_delivery_invalidates_whom_it_names(
    world: World, receiver: WebhookReceiver
) -> None:
    accepted = await receiver.accept("north", sign(BODY), BODY)
    assert accepted == Accepted(duplicate=False, affected=JANE)
    assert world.invalidated == [("north", JANE)], "before the answer"
    assert world.reported == []


async def test_pitfall_20_a_replayed_webhook_does_nothing(
    world: World, receiver: WebhookReceiver
) -> None:
    await receiver.accept("north", sign(BODY), BODY)
    again = await receiver.accept("north", sign(BODY), BODY)
    assert again == Accepted(duplicate=True, affected=Affected())
    assert world.noted == 1, "nothing is to be remembered of it"
    assert world.invalidated == [("north", JANE)]


async def test_pitfall_20_a_replay_in_the_other_case_is_a_replay(
    world: World, receiver: WebhookReceiver
) -> None:
    await receiver.accept("north", sign(BODY), BODY)
    lower = [(name, value.lower()) for name, value in sign(BODY)]
    assert (await receiver.accept("north", lower, BODY)).duplicate


async def test_pitfall_20_a_replay_altered_where_the_ascii_form_is_blind_is_a_replay(
    world: World, receiver: WebhookReceiver
) -> None:
    original, altered = (f'[{{"CoworkerId":1,"Name":"Zo{last}"}}]' for last in "ëé")
    signed = sign(original.replace("ë", "?").encode())
    assert not (await receiver.accept("north", signed, original.encode())).duplicate
    assert (await receiver.accept("north", signed, altered.encode())).duplicate


@pytest.mark.parametrize(
    "headers",
    [
        [],
        sign(BODY, OTHER_SECRET),
        sign(BODY + b" "),
        [(b"x-nexudus-hook-signature", b"")],
        [(b"x-nexudus-hook-signature", b"\xff" * 64)],
        [(b"x_nexudus_hook_signature", sign(BODY)[1][1])],
    ],
    ids=["absent", "another space's", "another body's", "empty", "not ASCII", "look-alike"],
)
async def test_pitfall_20_an_unproven_webhook_is_refused(
    world: World, receiver: WebhookReceiver, headers: list[tuple[bytes, bytes]]
) -> None:
    with pytest.raises(CredentialsError, match="missing or is not"):
        await receiver.accept("north", headers, BODY)
    await receiver.aclose()
    assert world.remembered == set()
    assert world.invalidated == []


@pytest.mark.parametrize("space_name", ["mute", "unknown"])
async def test_a_space_without_a_secret_takes_no_webhook(
    world: World, receiver: WebhookReceiver, space_name: str
) -> None:
    with pytest.raises(CredentialsError, match="BFF_WEBHOOK_SECRET"):
        await receiver.accept(space_name, sign(BODY, b""), BODY)
    assert world.remembered == set()


async def test_a_repeated_signature_is_refused(world: World, receiver: WebhookReceiver) -> None:
    with pytest.raises(HeaderError, match="repeated"):
        await receiver.accept("north", [*sign(BODY), *sign(BODY)], BODY)
    assert world.remembered == set()


async def test_the_header_is_found_in_any_case(receiver: WebhookReceiver) -> None:
    headers = [(name.title(), value) for name, value in sign(BODY)]
    assert not (await receiver.accept("north", headers, BODY)).duplicate


async def test_pitfall_4_the_same_body_in_two_spaces_is_no_replay(
    world: World, receiver: WebhookReceiver
) -> None:
    for space_name, secret in (("north", SECRET), ("south", OTHER_SECRET)):
        accepted = await receiver.accept(space_name, sign(BODY, secret), BODY)
        assert not accepted.duplicate
    await receiver.aclose()
    assert world.invalidated == [("north", JANE), ("south", JANE)]


async def test_what_is_remembered_is_neither_the_body_nor_its_signature(
    world: World, receiver: WebhookReceiver
) -> None:
    await receiver.accept("north", sign(BODY), BODY)
    [(space_name, digest)] = world.remembered
    assert space_name == "north"
    assert len(bytes.fromhex(digest)) == 32
    assert digest.upper().encode() != sign(BODY)[1][1]
    assert digest != hashlib.sha256(BODY).hexdigest()


@pytest.mark.parametrize(
    ("body", "understood"), [(b"[]", True), (b'[{"Name":"a team"}]', True), (b"<html>", False)]
)
async def test_a_proven_body_that_names_nobody_is_acknowledged(
    world: World, receiver: WebhookReceiver, body: bytes, understood: bool
) -> None:
    accepted = await receiver.accept("north", sign(body), body)
    assert accepted == Accepted(duplicate=False, affected=Affected(understood=understood))
    await receiver.aclose()
    assert world.invalidated == []


async def test_no_error_shows_the_secret_or_the_body(receiver: WebhookReceiver) -> None:
    shown = repr(receiver)
    for headers in ([], sign(BODY, OTHER_SECRET)):
        try:
            await receiver.accept("north", headers, BODY)
        except CredentialsError as refused:
            shown += "".join(traceback.format_exception(refused))
    assert "is not the HMAC-SHA256" in shown
    for canary in (SECRET.decode(), "Jane", sign(BODY)[1][1].decode()):
        assert canary not in shown
