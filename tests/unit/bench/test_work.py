"""How much the parts of a request do, in calls: whoever adds to it says so here, and why.

Calls are the same on every machine and in every run; times are not, and are not tested.
"""

from __future__ import annotations

import pytest

from tests.bench.micro.subjects import subjects
from tests.support.calls import calls_of

AT_MOST = {
    "shape: parse": 80,
    "shape: project": 40,
    "shape: decode, project, encode": 42,
    "negotiation": 3,
    "conditional: validator": 14,
    "conditional: If-None-Match": 8,
    "compression: br": 7,
    "keys: digest of a token": 20,
    "keys: names in Redis": 18,
    "codec: seal": 19,
    "codec: open": 21,
}
SUBJECTS = subjects()


def test_each_part_has_its_bound() -> None:
    assert AT_MOST.keys() == SUBJECTS.keys()


@pytest.mark.parametrize("name", AT_MOST)
def test_no_part_does_more_than_it_did(name: str) -> None:
    subject = SUBJECTS[name]
    subject()
    assert calls_of(subject) <= AT_MOST[name]
