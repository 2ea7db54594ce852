"""Generated requests against a running gateway: no answer but the declared ones, no 5xx at all."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from pathlib import Path

import pytest

from tests.contract import conformance
from tests.contract.contract import Contract
from tests.contract.live import HOST, MEMBER_TOKEN, OPERATOR_TOKEN, WEBHOOK_SECRET, live
from tests.e2e.commands import unmeasured

ROOT = Path(__file__).parents[2]
STREAM = "/ops/api/live"
"""Its answers do not end."""
EXAMPLES = 30
"""Of each operation; the edge cases of every parameter come beside them."""

CONFIGURATION = f"""
headers = {{ Host = "{HOST}" }}

[auth.openapi]
memberToken = {{ bearer = "{MEMBER_TOKEN}" }}
operatorToken = {{ bearer = "{OPERATOR_TOKEN}" }}

[generation]
# Another query parameter makes of a cached list another call, which is forwarded.
allow-extra-parameters = false
deterministic = true
database = "none"
max-examples = {EXAMPLES}

[phases]
stateful.enabled = false
"""


@pytest.mark.timeout(120)
async def test_generated_requests_get_declared_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody knows the requests that are made up here, and the log is not theirs to turn down.
    monkeypatch.setattr("bff.ops.fleet.shared.ASK_S", 0.01)
    monkeypatch.setattr("bff.observe.logs.Leveled.least", logging.INFO)
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION)
    async with live() as gateway:
        document = await gateway.anyone.get("/openapi.json")
        contract = Contract(document.json())
        for _, _, operation in contract.operations():
            # These stand for whatever Nexudus may answer; the simulated one does not.
            for unforeseen in ("4XX", "5XX"):
                operation["responses"].pop(unforeseen, None)
        # From a file: the tool does not test the route that it had the document from.
        (tmp_path / "openapi.json").write_text(json.dumps(contract.document))
        status, report = await schemathesis(tmp_path, gateway.origin)
    assert status == 0, report
    tested = [path for path, method, _ in contract.operations() if method != "head"]
    tested.remove(STREAM)
    assert f"Tested: {len(tested)}\n" in report, report


async def schemathesis(folder: Path, origin: str) -> tuple[int, str]:
    """Exit status and report of one run; the answers to HEAD are compared elsewhere."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli"),
        *("--config-file", str(folder / "schemathesis.toml")),
        *("run", str(folder / "openapi.json"), "--url", origin, "--no-color"),
        *("--exclude-method", "HEAD", "--exclude-path", STREAM),
        *("--checks", ",".join(conformance.CHECKS)),
        cwd=folder,
        env={
            **unmeasured(),
            "PYTHONPATH": str(ROOT),
            "SCHEMATHESIS_HOOKS": conformance.__name__,
            conformance.SECRET_VARIABLE: WEBHOOK_SECRET,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, output.decode()
