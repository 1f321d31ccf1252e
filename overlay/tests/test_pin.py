import stat

import pytest

from overlay import ROOT, releases, sources, status
from overlay.errors import OverlayError
from overlay.git import git
from overlay.pin import pin
from overlay.tests.conftest import DJANGO, edit, pack, read, write
from overlay.tests.test_export import commit

OLD, NEW = "6.1.3", "6.1.40"

README = """\
Django {0} and {0}+fork.4, not 6.1.30 or 16.1.3.

<!-- evidence: begin -->
Measured with 6.1.3.
<!-- evidence: end -->

More of {0}.

<!-- bench: begin -->
6.1.3
<!-- bench: end -->
"""


@pytest.fixture
def repository(root, tmp_path, monkeypatch):
    pack(tmp_path / f"django-{NEW}.tar.gz", f"django-{NEW}", DJANGO)
    monkeypatch.setattr(status, "wheel_digest", lambda version: "0123")
    write(
        root,
        {
            "README.md": README.format(OLD),
            "CHANGELOG.md": f"{OLD}\n",
            "docs/releases/fork.1.md": f"{OLD}\n",
            "docs/evidence.json": f'"{OLD}"\n',
            "overlay/releases.py": (ROOT / "overlay/releases.py").read_text(),
            "run": f"#!/bin/sh\necho {OLD}\n",
        },
    )
    (root / "run").chmod(0o755)
    git(root, "init", "--quiet")
    commit(root)
    write(root, {"untracked": OLD})
    return root


def test_release_is_named_wherever_the_older_one_was(repository):
    before = read(repository)
    names = ["README.md", "overlay/releases.py", "run"]
    assert pin(NEW, repository) == [repository / name for name in names]
    after = read(repository)
    assert {path for path in after if after[path] != before[path]} == {*names}
    assert after["README.md"].decode() == README.format(NEW)
    assert after["run"] == f"#!/bin/sh\necho {NEW}\n".encode()
    assert (repository / "run").stat().st_mode & stat.S_IXUSR
    namespace = {"__name__": "releases"}
    exec(after["overlay/releases.py"], namespace)
    made = namespace["RELEASES"]
    assert list(made) == ["5.2.19", "6.0.10", NEW]
    assert made[NEW].sdist_sha256 == sources.sha256(sources.sdist(NEW))
    assert made[NEW].wheel_digest == "0123"
    assert made["5.2.19"] == releases.RELEASES["5.2.19"]


@pytest.mark.parametrize(
    "version, reason",
    [
        ("7.0", "no release of Django 7.0's series yet: add one to overlay/releases"),
        ("6.1.3", "pinned already"),
        ("six", "'six' is not a version of Django"),
    ],
)
def test_what_can_not_be_pinned(repository, version, reason):
    before = read(repository)
    with pytest.raises(OverlayError, match=reason):
        pin(version, repository)
    assert read(repository) == before


def test_release_to_which_a_hunk_does_not_apply(repository):
    edit(repository / "django/db/base.py.patch", "self.alias", "self.name")
    before = read(repository)
    with pytest.raises(OverlayError, match="base.py.patch: hunk 2 of 2"):
        pin(NEW, repository)
    assert read(repository) == before
