import json

import pytest

from checks.databases import serving
from evidence import gains, report
from overlay import OverlayError

OUTPUT = """\
Running 1s test @ http://127.0.0.1:1/
  Latency Distribution
     50%  950.00us
     75%    3.27ms
     90%    5.00ms
     99%    1.25s
  1000 requests in 1.00s, 0.30MB read
  Non-2xx or 3xx responses: 7
Requests/sec:   1234.56
"""

DOCUMENT = {
    "command": "python3 evidence gains",
    "versions": {"Django": "6.1.3"},
    "machine": {"cores": 2, "CPU": "small"},
    "gunicorn": [
        {
            **{"way": "preload, a pool, and the workaround", "workers": 8},
            **{"rps": 1234.56, "p50": 0.95, "p99": 1250.0, "failed": 7},
            **{"first": 0.52, "restart": 1.18, "pss": 41.4},
        }
    ],
    "celery": {"without its fixup": {"rate": 1245, "sessions": 11}},
}


@pytest.fixture
def wrk(tmp_path):
    """Return what has a program give `output` in place of wrk."""

    def made(output, status=0):
        path = tmp_path / "wrk"
        path.write_text(f"#!/bin/sh\ncat <<'END'\n{output}END\nexit {status}\n")
        path.chmod(0o755)
        return gains.Made(None, {}, {}, path)

    return made


def test_load(wrk):
    found = gains._loaded(wrk(OUTPUT), ("127.0.0.1", 1), 8)
    assert found == pytest.approx(
        {"rps": 1234.56, "p50": 0.95, "p99": 1250, "failed": 7}
    )
    without = OUTPUT.replace("  Non-2xx or 3xx responses: 7\n", "")
    assert gains._loaded(wrk(without), ("127.0.0.1", 1), 8)["failed"] == 0


@pytest.mark.parametrize("output, status", [("unable to connect\n", 1), ("\n", 0)])
def test_load_that_fails(wrk, output, status):
    with pytest.raises(OverlayError, match="^wrk: "):
        gains._loaded(wrk(output, status), ("127.0.0.1", 1), 8)


def test_without_wrk(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(serving, "SYSTEM", ())
    with pytest.raises(OverlayError, match="wrk is not .*: apt install wrk"):
        gains.document("6.1.3", "", {})


def test_medians():
    measured = [{"rps": 1.0}, {"rps": 5.0}, {"rps": 2.5}]
    assert gains._medians(measured) == {"rps": 2.5}


def test_tables():
    lines = gains.tables(json.loads(report.text(DOCUMENT))).splitlines()
    assert lines[2] == (
        "| 8 | preload, a pool, and the workaround | stock | 1,235 | 0.9 | 1250.0 | 7 "
        "| 0.5 | 1.2 | 41 |"
    )
    assert lines[6] == "| without its fixup | 1,245 | 11 |"
    assert lines[-1].startswith("Printed by `python3 evidence gains` with Django")
