"""What evidence counts, concludes, and shows."""

import json
import os
import re
import subprocess
import sys

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from checks.databases.serving import program
from evidence import facts, load, page, proof, report, series, storm, trial
from evidence.count import HUNG, Answer, Figures, count
from evidence.servers import Server
from overlay import ROOT, OverlayError

SERVER = Server("a <b>server</b>", (), None, "post_fork")
SETUPS = trial.setups([SERVER], [trial.POOL])
RIGHT = Figures(right=trial.TOKENS)
WRONG = Figures(right=100, wrong=90, hung=4, shared=2)
FIGURES = dict(zip(trial.DJANGOS, (WRONG, RIGHT, RIGHT)))


def results(**patched):
    """Return Results that show the bug, but for what the `patched` one has."""
    found = []
    for setup in SETUPS:
        result = trial.Result(setup, FIGURES[setup.django], processes=4)
        if setup.django == trial.FORK:
            result = result._replace(**patched)
        found.append(result)
    return found


def evidence(*arguments):
    return subprocess.run(
        [sys.executable, "evidence", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ("nonsense", 2, "invalid choice: 'nonsense'"),
        ("bench --tls", 2, "unrecognized arguments: --tls"),
        ("storm --forks=0", 2, "'0' is not a number from 1 to 999999"),
        ("storm --pool --driver=psycopg2", 1, "A pool needs PostgreSQL with"),
        ("--django=abc", 2, "unrecognized arguments: --django=abc"),
        ("quick --django=abc", 1, "'abc' is not a version of Django"),
        ("servers --only nonsense", 1, "There is no server nonsense: name some of"),
        ("quick --html nowhere/report.html", 1, "nowhere is no directory"),
    ],
)
def test_bad_input_is_one_line(arguments, status, said):
    process = evidence(*arguments.split())
    assert process.returncode == status and process.stdout == ""
    last = process.stderr.splitlines()[-1]
    assert last.startswith("evidence") and said in last, process.stderr
    names = [server.name for server in series.SERVERS]
    assert len(names) == len(set(names))


def test_count():
    assert count(
        [
            Answer("a", "a", process=1, session=1),
            Answer("b", "a", process=2, session=1),
            Answer("c", error=HUNG),
            Answer("d", error="OperationalError"),
            # Before the load, and the parent's own.
            Answer(None, None, process=3, session=1),
            Answer("e", "e", process=3, session=2, parent=True),
        ]
    ) == Figures(right=1, wrong=1, failed=1, hung=1, shared=1)


@pytest.mark.parametrize("ends", [True, False])
def test_told(tmp_path, monkeypatch, ends):
    """A token that nobody answers is one that hung, or whose process ended."""
    monkeypatch.setattr(load, "PATIENCE", 0.5)
    lines = [{"asked": "a"}, {"asked": "b"}, {"asked": "b", "token": "c"}]
    (tmp_path / "told").write_text("".join(f"{json.dumps(each)}\n" for each in lines))
    seconds = "0" if ends else "60"
    command = [sys.executable, "-c", f"import time; time.sleep({seconds})"]
    with subprocess.Popen(command) as process:
        answers = list(load.told(tmp_path / "told", process, float("inf")))
        process.kill()
    error = "the process ended" if ends else HUNG
    assert answers == [Answer("b", "c"), Answer("a", error=error)]


def test_results_that_show_it():
    assert proof.doubts([SERVER], SETUPS, results()) == []
    table = report.table([SERVER], results())
    assert table.splitlines()[-1] == (
        "| a &lt;b&gt;server&lt;/b&gt; | 90 wrong, 4 hung of 194; 2 shared | 200 right "
        "of 200 | 200 right of 200 |"
    )
    assert "90 of 194 requests got another" in report.sentence([SERVER], results())


@pytest.mark.parametrize(
    ("patched", "said"),
    [
        ({"figures": Figures(right=199, wrong=1)}, "has not answered 200 of 200"),
        ({"figures": Figures(right=200, shared=1)}, "has not answered 200 of 200"),
        ({"figures": Figures(right=199)}, "has not answered 200 of 200"),
        ({"parent": Figures(failed=1)}, "has not answered 200 of 200"),
        ({"processes": 1}, "answered everything in one process"),
        ({"reason": "no such program"}, "was not run: no such program"),
    ],
)
def test_results_that_show_nothing(patched, said):
    (doubt,) = proof.doubts([SERVER], SETUPS, results(**patched))
    assert said in doubt


def test_bug_that_is_not_seen():
    fine = [result._replace(figures=RIGHT) for result in results()]
    (doubt,) = proof.doubts([SERVER], SETUPS, fine)
    assert "did nothing wrong on official Django" in doubt
    (doubt,) = proof.doubts([SERVER], SETUPS, results()[:-1])
    assert "There was no time for" in doubt


@pytest.mark.parametrize(
    "changes",
    [
        *({name: 1} for name in storm.BAD),
        {"ended": 299},
        {"errors": {"OperationalError: lost": 1}},
    ],
)
def test_storm_that_is_not_intact(changes):
    made = storm.Outcome(forks=300, ended=300, rows=5)
    assert made.intact(storm.Storm())
    assert not made._replace(**changes).intact(storm.Storm())


def test_storm_counts_rows():
    lines = [{"begun": "a"}, {"committed": "a"}, {"begun": "b"}, {"begun": "c"}]
    lines.append({"committed": "c"})
    # One is lost, one is there twice, and nobody has begun another one.
    assert storm.counted(["a", "a", "b", "d"], lines) == {
        "rows": 4,
        "lost": 1,
        "strange": 2,
    }


def test_storm_whose_parent_ends():
    lines = [{"forks": 3, "errors": {}}, {"begun": "a"}]
    came = storm.came(lines, ended=-11)
    assert came["errors"] == {"the parent ended with the status -11": 1}


def test_each_recipe_has_its_case():
    text = (ROOT / "docs/recipes.md").read_text()
    recipes = [part for part in text.split("\n#")[1:] if "```python" in part]
    app = [path.read_text() for path in (ROOT / "evidence/app").rglob("*.py")]
    followed = set(re.findall(r'follow\("([^"]+)"', "".join(app)))
    assert followed == {part.splitlines()[0].lstrip("# ") for part in recipes}


@pytest.fixture
def browser(tmp_path):
    """Chromium, or a skip where it is missing, but never in CI."""
    try:
        paths = program("chromium", "chromium"), program("chromedriver", "chromium")
    except OverlayError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    options = webdriver.ChromeOptions()
    options.binary_location, driver = paths
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage"):
        options.add_argument(f"--{argument}")
    options.add_argument(f"--user-data-dir={tmp_path / 'chromium'}")
    with webdriver.Chrome(options, Service(driver)) as chromium:
        chromium.set_page_load_timeout(60)
        yield chromium


def test_page_in_a_browser(browser, tmp_path):
    made = facts.printed("python3 evidence", {"Django": "6.1.3"})
    found = results(figures=Figures(right=199, failed=1))
    doubts = proof.doubts([SERVER], SETUPS, found)
    html = page.page([SERVER], found, doubts, made)
    (tmp_path / "report.html").write_text(html, encoding="utf-8")
    for width in (1200, 390):
        size = {"width": width, "height": 800, "deviceScaleFactor": 1}
        command = "Emulation.setDeviceMetricsOverride"
        browser.execute_cdp_cmd(command, {**size, "mobile": width < 600})
        browser.get((tmp_path / "report.html").as_uri())
        wide = "return document.documentElement.scrollWidth"
        assert browser.execute_script(wide) <= width
        totals = browser.find_elements(By.CSS_SELECTOR, ".totals strong")
        assert [each.text for each in totals] == ["90", "0", "0"]
        bars = browser.find_elements(By.CLASS_NAME, "bar")
        assert [bar.accessible_name for bar in bars] == [
            "90 wrong, 4 hung of 194; 2 shared",
            "200 right of 200",
            "1 failed of 200",
        ]
        wrong = bars[0].find_element(By.CLASS_NAME, "wrong").rect["width"]
        assert abs(wrong / bars[0].rect["width"] - 90 / 194) < 0.02
        body = browser.find_element(By.TAG_NAME, "body").text
        assert "a <b>server</b>" in body and "_connection_pools.clear()" in body
        assert "has not answered 200 of 200" in body
    assert browser.get_log("browser") == []
