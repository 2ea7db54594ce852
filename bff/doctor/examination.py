"""All checks, in the order in which one would look."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import aclosing
from dataclasses import dataclass, field

from bff.clock import Clock, SystemClock
from bff.doctor import store
from bff.doctor.findings import Finding, Result, fault, ok, warning, worst
from bff.doctor.reach import reach
from bff.doctor.shapes import Examiner
from bff.errors import SettingsError
from bff.nexudus.client import NexudusClient, Timeouts, open_pools
from bff.nexudus.exchange import Transport
from bff.settings import Settings
from bff.spaces import Space


@dataclass(frozen=True, slots=True)
class Subject:
    """What is examined. `token`: of a member of `space`, to compare shapes with; empty for none."""

    settings: Settings
    space: Space
    token: str = field(default="", repr=False)


def misconfigured(error: SettingsError) -> list[Finding]:
    """Every fault of a configuration that cannot be loaded; nothing else can be looked at then."""
    return [
        fault(each.variable, each.reason, f"for example {each.example}") for each in error.faults
    ]


def configured(settings: Settings) -> list[Finding]:
    """What the settings themselves tell."""
    sources = Counter(settings.source_of(name) for name in type(settings).model_fields)
    findings = [
        ok("settings", f"{sources['env']} from the environment, {sources['file']} from the file")
    ]
    try:
        settings.check_workers(settings.workers)
    except SettingsError as error:
        findings += misconfigured(error)
    if not settings.operators:
        remedy = "Set BFF_OPS_TOKENS or BFF_OPS_TOKEN, and let the monitoring send one."
        findings.append(warning("operators", "no metrics and no purge without a token", remedy))
    if not settings.webhook_secret:
        detail = f"off: changes made elsewhere show after {settings.profiles_fresh_s:.15g} s"
        remedy = "Set BFF_WEBHOOK_SECRET and add the webhooks in Nexudus."
        findings.append(warning("webhooks", detail, remedy))
    return findings


async def examine(
    subject: Subject,
    clock: Clock | None = None,
    transport: Transport | None = None,
) -> list[Finding]:
    """Every finding. Nothing is changed, but that one value comes and goes in Redis."""
    settings, clock = subject.settings, clock or SystemClock()
    client = NexudusClient(
        transport or open_pools(settings.max_connections), _timeouts(settings), clock
    )
    async with aclosing(client):
        reached, stored = await asyncio.gather(
            _nexudus(subject, client, clock), store.examine(settings, clock)
        )
    return [*configured(settings), *reached, *stored]


async def _nexudus(subject: Subject, client: NexudusClient, clock: Clock) -> list[Finding]:
    settings = subject.settings
    spaces = settings.space_table.spaces
    found = await asyncio.gather(
        *(reach(client, space, clock, settings.deadline_s) for space in spaces)
    )
    findings = [finding for each in found for finding in each]
    if not subject.token:
        remedy = "Pass --token or BFF_DOCTOR_TOKEN to compare with Nexudus' own `_shape`."
        return [*findings, warning("_shape", "not compared: no member's token", remedy)]
    if worst(found[spaces.index(subject.space)]) is Result.FAULT:
        return findings
    examiner = Examiner(client, subject.space, clock, subject.token, settings.deadline_s)
    return [*findings, *await examiner.examine()]


def _timeouts(settings: Settings) -> Timeouts:
    return Timeouts(
        connect_s=settings.connect_timeout_s,
        read_s=settings.read_timeout_s,
        write_s=settings.write_timeout_s,
        pool_s=settings.pool_timeout_s,
    )
