import re

import pytest

from overlay import ROOT, releases
from overlay.errors import OverlayError


@pytest.mark.parametrize(
    "python, version",
    [
        ((3, 10), "5.2.19"),
        ((3, 11, 7), "5.2.19"),
        ((3, 12), "6.1.3"),
        ((4, 0), "6.1.3"),
    ],
)
def test_default_is_the_newest_that_python_runs(python, version):
    assert releases.default(python) == version


def test_python_that_runs_none_is_told_so():
    with pytest.raises(OverlayError, match="Python 3.9 .* use Python 3.10 or later"):
        releases.default((3, 9))


@pytest.mark.parametrize("version", ["6.1", "6.1.3", "5.2a1", "6.1rc2", "10.0.12"])
def test_versions(version):
    assert releases.check(version) is None


@pytest.mark.parametrize("version", ["4.2", "5.1.15", "1.11"])
def test_older_versions_are_told_those_that_there_are(version):
    with pytest.raises(OverlayError, match=f"for Django {version}: name one of 5.2.19"):
        releases.check(version)


def test_series_is_compared_by_number():
    assert releases.series("10.0") > releases.series("6.1.3") > releases.series("5.2")


def test_what_users_read_is_of_this_release():
    texts = [(ROOT / path).read_text() for path in ("README.md", "docs/faq.md")]
    # What was measured keeps its version.
    lines = [
        line
        for line in "".join(texts).splitlines()
        if not line.startswith("Printed by")
    ]
    named = re.findall(r"\+(fork\.\d+)", "".join(lines))
    assert set(named) == {releases.LOCAL}
    notes = ROOT / "docs" / "releases" / f"{releases.LOCAL}.md"
    assert notes.read_text().startswith(f"# {releases.LOCAL}\n")
    assert f"has its notes: [{releases.LOCAL}]" in (ROOT / "CHANGELOG.md").read_text()
