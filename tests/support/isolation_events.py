"""What happens beside the members' calls: in Nexudus, by operators, to tokens, to time."""

from __future__ import annotations

from typing import assert_never

from tests.support import isolation_calls as calls
from tests.support.isolation_asks import FAULTS, HANG, HARMLESS, PARTS, Operation
from tests.support.isolation_model import IDS, LETTERS, OWNERS, Json, canaries
from tests.support.isolation_play import Play


def edit_elsewhere(play: Play, space: str, coworker: int, shown: Json, hook: int | None) -> None:
    """An edit in Nexudus itself; `hook` is the gateway that is told, if any."""
    play.tick()
    play.tell(f"edit of {coworker} in {space}: {shown}, told to gateway {hook}")
    fields = {**canaries(space, coworker, play.truth.new_mark()), **shown}
    play.do(calls.edit(play.stage, space, coworker, fields))
    play.truth.edit(space, coworker, fields, play.stage.time.wall())
    _tell_gateway(play, space, coworker, hook)


def switch_elsewhere(play: Play, space: str, coworker: int, hook: int | None) -> None:
    """A switch in Nexudus itself."""
    play.tick()
    play.tell(f"switch to {coworker} in {space}, told to gateway {hook}")
    play.do(calls.switch(play.stage, space, OWNERS[coworker], coworker))
    play.truth.switch(space, OWNERS[coworker], coworker, play.stage.time.wall())
    _tell_gateway(play, space, coworker, hook)


def _tell_gateway(play: Play, space: str, coworker: int, hook: int | None) -> None:
    """By a webhook; once its drops are done, they hold everywhere."""
    if hook is None:
        return
    user, hooked, mark = OWNERS[coworker], play.stage.place.hooked, play.truth.new_mark()
    entity: Json = {"Id": coworker, "UserId": user, "CoworkerType": 1, "Mark": mark}
    play.do(play.stage.deliver(hooked[hook % len(hooked)], space, entity))
    play.truth.drop(space, (user,), (coworker,))


def operate(play: Play, what: Operation, gateway: int, space: str, coworker: int) -> None:
    """An operator drops something; what depends on it is not shown any more."""
    play.tick()
    play.tell(f"{what} of {coworker} in {space}, through gateway {gateway}")
    user = OWNERS.get(coworker, 7001)
    match what:
        case Operation.COWORKER:
            play.do(play.stage.purge(gateway, space, {"coworker": coworker}))
            play.truth.drop(space, (), (coworker,))
        case Operation.USER:
            play.do(play.stage.purge(gateway, space, {"user": user}))
            play.truth.drop(space, (user,), ())
        case Operation.SPACE:
            play.do(play.stage.purge(gateway, space, {"everything": True}))
            play.truth.drop(space, LETTERS, IDS)
        case Operation.REDIS:
            play.stage.empty_redis()
        case _:
            assert_never(what)


def revoke(play: Play, number: int) -> None:
    """Nexudus ends a token; the gateways are not told."""
    play.tick()
    caller = play.caller(number)
    assert caller.token is not None
    play.tell(f"{caller} is revoked")
    play.do(play.stage.control(caller.space, "DELETE", f"tokens?token={caller.token}"))
    grant = play.truth.grants[caller.space, caller.token]
    play.truth.moment(play.stage.time.wall())
    if grant.revoked_at is None:
        grant.revoked_at = play.truth.highest


def advance(play: Play, number: int) -> None:
    """Time passes, or the clocks are set back, while no call is under way."""
    play.tick()
    play.let_go()
    play.collect()
    leaps = play.stage.place.leaps
    seconds = leaps[number % len(leaps)]
    play.tell(f"{seconds} s pass")
    play.do(play.stage.time.advance(seconds))


def fail(play: Play, space: str, fault: str, part: str) -> None:
    """From now on, a part of a space fails in one way; a hang happens once."""
    _mend(play, space)
    play.tell(f"{part} of {space} fails: {fault}")
    rule: Json = {"effect": FAULTS.get(fault, HANG), "match": {"path_regex": PARTS[part]}}
    trouble = play.trouble[space]
    trouble.rules = [rule if fault in FAULTS else {**rule, "count": 1}]
    trouble.failing = fault not in HARMLESS
    play.do(play.stage.control(space, "PUT", "faults", trouble.rules))


def mend(play: Play) -> None:
    """Nothing fails any more, and nothing that failed is under way."""
    for space in play.trouble:
        _mend(play, space)


def _mend(play: Play, space: str) -> None:
    play.tick()
    play.let_go()
    play.tell(f"{space} is mended")
    trouble = play.trouble[space]
    play.do(play.stage.control(space, "DELETE", "faults"))
    play.do(play.stage.idle(space))
    if trouble.failing:
        trouble.calm_since = play.truth.step
    trouble.rules, trouble.failing = [], False
