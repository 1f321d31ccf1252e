import json

import pytest

from evidence import report, scale
from evidence.scale import Fleet

SMALL = Fleet(3, workers=2, at_once=2)


def test_formulas():
    assert (SMALL.processes, SMALL.steady, SMALL.restarting) == (9, 30, 50)
    assert (SMALL.server, SMALL._replace(bouncer=5).server) == (50, 5)
    # Not more than there are.
    assert SMALL._replace(at_once=9).restarting == 60


@pytest.mark.parametrize(
    "fleet", [SMALL, SMALL._replace(at_once=3), SMALL._replace(at_once=1, grace=30)]
)
def test_simulation_is_within_the_formula(fleet):
    pools, server = zip(*scale.simulated(fleet))
    before = scale.RESTART // scale.STEP
    assert pools == server
    assert pools[0] == fleet.processes * fleet.min_size
    assert max(pools[:before]) == fleet.steady == pools[-1]
    assert fleet.steady < max(pools) <= fleet.restarting


def test_pgbouncer():
    """The pools have what they had, and the server what it is allowed."""
    pools, server = zip(*scale.simulated(SMALL._replace(bouncer=2)))
    assert max(server) == 2
    assert max(pools[: scale.RESTART // scale.STEP]) == SMALL.steady


def test_tables(monkeypatch):
    monkeypatch.setattr(scale, "FLEETS", [SMALL, SMALL._replace(bouncer=2)])
    made = json.loads(report.text(scale.document("python3 evidence scale")))
    lines = scale.tables(made).splitlines()
    assert lines[2].startswith("| 3 × (2 + 1) | 2 | no | 30 | 30 | 50 | ")
    assert lines[3].startswith("| 3 × (2 + 1) | 2 | 2 | 30 | 30 | 50 | ")
    assert lines[3].endswith(" | 2 | 2 |")
    assert len([line for line in lines if line == "xychart-beta"]) == 2
    assert lines[-1] == "Printed by `python3 evidence scale`."
