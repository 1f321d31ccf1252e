import contextlib
import inspect
import json
import os
import re
import socket
import threading
from html.parser import HTMLParser

import psutil
import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from checks.databases.serving import program
from evidence import tables
from evidence.app import workaround
from evidence.page import IN_CHILD, page
from evidence.tests.documents import (
    EXAMPLE,
    HELD,
    MANY,
    document,
    healthy,
    not_run,
    setup,
)
from evidence.tests.family import there

# In seconds, for all that is done in the browser, its start included.
DEADLINE = 120

HOSTILE = "</td></style><script>alert('\"&')</script><img src=http://[::1]/> | $x$ é"


class Elements(HTMLParser):
    """The rows of the HTML's tables, its text, and the elements it has."""

    def __init__(self, html):
        super().__init__()
        self.rows, self.elements, self.text = [], [], ""
        self.in_cell = False
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.in_cell = True

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.in_cell = False

    def handle_data(self, data):
        self.text += data
        if self.in_cell:
            self.rows[-1][-1] += data

    def classes(self, name):
        """Return the attributes of the elements of the class `name`."""
        return [
            attributes
            for _, attributes in self.elements
            if name in attributes.get("class", "").split()
        ]


@pytest.mark.parametrize("made", [EXAMPLE, document(setup()), document(), MANY])
def test_page(made):
    html = page(made)
    elements = Elements(html)
    assert made["sentence"] in elements.text
    assert made["legend"] in elements.text
    assert f"{made['command']} --html report.html" in elements.text
    for name, version in (made["versions"] | made["machine"]).items():
        assert [name, str(version)] in elements.rows
    servers = {setup["server"] for setup in made["setups"]}
    rows = [row for row in elements.rows if len(row) > 3 or "not run" in row[-1]]
    assert rows[0][:3] == ["connections", "Django", "right"]
    assert len(rows) == 1 + len(made["setups"])
    assert len(elements.classes("bars")) == len(servers)
    assert len(html) < 1_000_000


def test_page_of_what_is_kept():
    made = json.loads(tables.FIGURES.read_text())
    html = page(made)
    assert made["sentence"].partition(";")[0] in html
    assert "(documented as unsafe)" in html
    assert len(html) < 1_000_000


def test_measures():
    measures = {"Requests <in> a second": {"fork": 1380.4, "stock": 345.1}}
    html = page(EXAMPLE, measures)
    assert "Requests &lt;in&gt; a second" in html
    assert "<dd>1,380</dd>" in html and 'style="width: 25.0%"' in html
    assert len(Elements(html).classes("measures")) == 1
    assert not Elements(page(EXAMPLE)).classes("measures")


def test_measures_that_are_kept():
    measures = tables.measures()
    assert len(measures) == 4 + 3
    for numbers in measures.values():
        assert len(numbers) > 2 and min(numbers.values()) > 0


def test_rows():
    elements = Elements(page(EXAMPLE))
    names = [setup["django"] for setup in EXAMPLE["setups"]]
    figures = ["122", "71", "4", "3", "2", "4", "1.3"]
    assert elements.rows[1:7] == [
        ["gunicorn sync"],
        ["pool", names[0], *figures, "6 of 7"],
        ["pool", names[1], *figures, "6 of 7"],
        ["pool", names[2], "200", "0", "0", "0", "0", "4", "1.3", "8 of 8"],
        ["persistent", names[3], *figures, ""],
        ["persistent", names[4], "not run: pip can't install it"],
    ]
    assert "A note." in elements.text
    assert EXAMPLE["setups"][1]["errors"][0] in elements.text


def test_totals():
    shown = setup(server="mule", expected="shown")
    html = page(document(*EXAMPLE["setups"], shown))
    totals = re.findall(r"<dt>(.+)</dt><dd><strong>(.+)</strong> of (\d+)", html)
    assert totals == [
        ("stock", "142", "400"),
        ("stock + workaround", "71", "200"),
        ("fork", "0", "200"),
    ]


def test_bars():
    """What wasn't asked, as a process hung, fills them up."""
    hung = setup(right=50, wrong=20, failed=0, hung=1)
    elements = Elements(page(document(hung, healthy(), not_run())))
    labels = [attributes["aria-label"] for attributes in elements.classes("bar")]
    assert labels == ["50 right, 20 wrong, 1 hung, 129 never asked", "200 right"]
    segments = [
        (attributes["class"], attributes["style"])
        for tag, attributes in elements.elements
        if tag == "span" and "style" in attributes
    ]
    numbers = {"right": 50, "wrong": 20, "hung": 1, "never": 129}
    assert segments == [
        *((name, f"flex-grow: {number}") for name, number in numbers.items()),
        ("right", "flex-grow: 200"),
    ]
    assert "20 wrong, 1 hung of 71; 2 shared" in elements.text


def test_bar_of_what_was_not_run():
    for made in (not_run(), setup(not_run="it ended")):
        elements = Elements(page(document(made)))
        (bar,) = elements.classes("bar")
        assert bar["aria-label"] == "nothing"


def test_workarounds_are_shown_as_code():
    source = inspect.getsource(workaround)
    text = Elements(page(EXAMPLE)).text
    for line in IN_CHILD.values():
        assert line in source and line in text
    text = Elements(page(document(setup(workaround="lazy-apps")))).text
    assert "lazy-apps = true" in text and line not in text


def test_what_is_unsafe_is_named():
    made = document(setup(expected="shown"), healthy(server="other"))
    assert page(made).count("(documented as unsafe)") == 1


def test_what_is_bad_stands_out():
    def bad(setup):
        return re.findall(r'class="number bad">([^<]*)', page(document(setup)))

    assert bad(setup()) == ["71", "4", "3", "2", "6 of 7"]
    assert bad(healthy()) == []
    assert bad(healthy(parent=None)) == []
    assert bad(healthy(shared=1)) == ["1"]
    assert bad(not_run()) == []


def test_hostile_strings():
    fields = ["server", "connections", "workaround", "note", "not_run"]
    fields += ["error", "sentence", "legend", "command", "name", "version", "CPU"]
    hostile = {name: f"{HOSTILE} {name}" for name in fields}
    texts = {name: hostile[name] for name in fields[:4]}
    made = document(
        setup(**texts, errors=[hostile["error"]]),
        not_run(**texts, not_run=hostile["not_run"]),
        **{name: hostile[name] for name in ("sentence", "legend", "command")},
        versions={hostile["name"]: hostile["version"]},
        machine={"CPU": hostile["CPU"]},
    )
    html = page(made)
    elements = Elements(html)
    assert "script" not in {tag for tag, _ in elements.elements}
    assert html.count("</style>") == 1
    for text in hostile.values():
        assert text in elements.text


def test_no_address_of_anything():
    for _, attributes in Elements(page(EXAMPLE)).elements:
        assert not attributes.keys() & {"src", "srcset", "href", "action", "data"}


@pytest.mark.parametrize(
    "held, rows",
    [
        (HELD, [["7", "100", "100, 101", True], ["8", "100", "100, 101", True]]),
        (
            healthy()["held"],
            [
                [str(number), "100" * (number < 9), after, False]
                for number, after in zip(
                    range(7, 13), ["100", "100", "101", "101", "102", "102"]
                )
            ],
        ),
        (HELD[:1], [["7", "100", "", False], ["8", "100", "", False]]),
        ([{}, {"100": [7], "101": [7]}], [["7", "", "100, 101", True]]),
        ([{"100": [7]}, {"101": [7]}], [["7", "100", "101", False]]),
        ([{"100": []}, {"100": []}], []),
        ([], []),
        ([{}], []),
    ],
)
def test_sessions(held, rows):
    html = page(document(setup(held=held)))
    found = re.findall(
        r'<tr( class="bad")?><th scope="row">(\d+)</th><td>([^<]*)</td><td>([^<]*)<',
        html,
    )
    assert [[*cells, bool(bad)] for bad, *cells in found] == rows
    assert ("Which process held which session" in html) == bool(rows)


def test_sessions_are_of_stock_and_the_fork():
    captions = re.findall(r"<caption>(\w+, .*)</caption>", page(EXAMPLE))
    assert captions == ["pool, stock", "pool, fork", "persistent, stock"]


def _end(service):
    """End the driver, and all that it started, whatever they are doing."""
    members = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getsid(process.pid) == service.process.pid:
                members.append(process)
    for member in members:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    psutil.wait_procs(members, timeout=10)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Chromium, or a skip where it is missing, but never in CI."""
    binary = there(program, "chromium", "chromium")
    driver = there(program, "chromedriver", "chromium-driver")
    options = webdriver.ChromeOptions()
    # Both named, so that selenium doesn't look for others to download.
    options.binary_location = binary
    service = Service(driver, popen_kw={"start_new_session": True})
    options.set_capability(
        "goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"}
    )
    for argument in (
        "headless=new",
        # Root has no sandbox.
        "no-sandbox",
        "disable-dev-shm-usage",
        f"user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):
        options.add_argument(f"--{argument}")
    # Whoever waits for an answer gets an error then.
    timer = threading.Timer(DEADLINE, _end, [service])
    timer.start()
    try:
        with webdriver.Chrome(options, service) as chromium:
            yield chromium
    finally:
        timer.cancel()
        _end(service)


SIZES = {"desktop": (1200, 900), "phone": (360, 740)}


@pytest.fixture
def opened(browser, tmp_path):
    """Open HTML from a file in a theme and a size; return the address."""

    def opened(html, theme="light", size="desktop"):
        file = tmp_path / "report.html"
        file.write_text(html, encoding="utf-8")
        width, height = SIZES[size]
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {
                "width": width,
                "height": height,
                "deviceScaleFactor": 1,
                "mobile": size == "phone",
            },
        )
        browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": theme}]},
        )
        # What others did before.
        browser.get("about:blank")
        for log in ("browser", "performance"):
            browser.get_log(log)
        browser.get(file.as_uri())
        return file.as_uri()

    return opened


def requested(browser):
    """Return the addresses that were asked for, but for those of data."""
    messages = [
        json.loads(entry["message"])["message"]
        for entry in browser.get_log("performance")
    ]
    addresses = [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]
    return [address for address in addresses if not address.startswith("data:")]


def overflow(browser):
    """Return by how many pixels the page is wider than the window."""
    return browser.execute_script(
        "const root = document.documentElement;"
        "return root.scrollWidth - root.clientWidth"
    )


# Of each text, its colour and size, and the nearest background below it.
TEXTS = """
const colour = (element, property) => {
    const [red, green, blue, alpha = 1] =
        getComputedStyle(element)[property].match(/[\\d.]+/g).map(Number);
    return alpha && [red, green, blue];
};
const background = element =>
    colour(element, "backgroundColor") || background(element.parentElement);
return [...document.body.querySelectorAll("*")]
    .filter(element => [...element.childNodes].some(
        node => node.nodeType === Node.TEXT_NODE && node.data.trim()))
    .map(element => [
        element.innerText, colour(element, "color"), background(element),
        parseFloat(getComputedStyle(element).fontSize)]);
"""


def luminance(colour):
    """Return what WCAG 2 calls relative luminance."""
    parts = [part / 255 for part in colour]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    """Return what WCAG 2 calls the contrast ratio of two colours."""
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


@pytest.fixture(
    scope="module", params=[EXAMPLE, MANY], ids=["five set-ups", "a hundred"]
)
def rendered(request):
    """A document and its page."""
    return request.param, page(request.param)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_in_a_browser(browser, opened, rendered, theme, size):
    made, html = rendered
    address = opened(html, theme, size)

    assert browser.find_element(By.TAG_NAME, "h1").is_displayed()
    table = browser.find_element(By.TAG_NAME, "table")
    assert not table.is_displayed()
    for details in browser.find_elements(By.TAG_NAME, "details"):
        browser.execute_script("arguments[0].open = true", details)
    assert table.is_displayed()
    rows = table.find_elements(By.CSS_SELECTOR, "tbody tr:has(td)")
    assert len(rows) == len(made["setups"])
    wrong = table.find_element(By.CSS_SELECTOR, "th:nth-child(4)")
    assert wrong.text == "wrong"
    assert wrong.rect["x"] + wrong.rect["width"] <= SIZES[size][0]
    bars = browser.find_elements(By.CLASS_NAME, "bar")
    assert bars
    for bar in bars:
        segments = bar.find_elements(By.TAG_NAME, "span")
        width = sum(segment.rect["width"] for segment in segments)
        assert bar.aria_role == "image" and bar.accessible_name
        assert abs(width - bar.rect["width"]) < 1 or not segments
    assert overflow(browser) <= 0
    assert browser.get_log("browser") == []
    assert requested(browser) == [address]


# The colours of the bars' key, and of the background.
KEY = """
const colour = element => getComputedStyle(element).backgroundColor
    .match(/[\\d.]+/g).slice(0, 3).map(Number);
return [colour(document.body), ...[...document.querySelectorAll(".key span")]
    .slice(0, 4).map(colour)];
"""


def test_themes(browser, opened):
    seen = {}
    for theme in ("light", "dark"):
        opened(page(EXAMPLE, tables.measures()), theme)
        browser.execute_script(
            "document.querySelectorAll('details').forEach(each => each.open = true)"
        )
        texts = browser.execute_script(TEXTS)
        assert len(texts) > 50
        for text, colour, background, size in texts:
            assert contrast(colour, background) >= 4.5, text
            assert size >= 14, text
        background, *outcomes = seen[theme] = browser.execute_script(KEY)
        assert len(set(map(tuple, outcomes))) == 4
        for colour in outcomes:
            assert contrast(colour, background) >= 3
    for light, dark in zip(*seen.values(), strict=True):
        assert light != dark


def test_measures_on_a_phone(browser, opened):
    opened(page(EXAMPLE, tables.measures()), size="phone")
    assert overflow(browser) <= 0
    widths = [
        each.rect["width"]
        for each in browser.find_elements(By.CSS_SELECTOR, ".measures .right")
    ]
    assert len(widths) > 10 and min(widths) > 10


def test_browser_sees_what_is_wrong(browser, opened):
    """Else the tests above would prove nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        elsewhere = "http://127.0.0.1:%d/image" % listener.getsockname()[1]
    address = opened(
        "<meta name=viewport content='width=device-width'>"
        f"<body style='color: #999; background: white'><img src={elsewhere}>"
        "<p style='width: 500px'>pale<script>console.error('oops')</script>",
        size="phone",
    )
    assert requested(browser) == [address, elsewhere]
    assert "oops" in "".join(entry["message"] for entry in browser.get_log("browser"))
    assert overflow(browser) > 100
    (_, colour, background, _), *_ = browser.execute_script(TEXTS)
    assert contrast(colour, background) < 4.5


def test_page_forbids_what_is_elsewhere(browser, opened):
    """What got into it in spite of all would do nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        elsewhere = "http://127.0.0.1:%d/" % listener.getsockname()[1]
        html = page(EXAMPLE).replace(
            "</main>",
            f"<img src={elsewhere}><script>document.title = 'oops'</script></main>",
        )
        opened(html)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert browser.title == "Database connections after fork()"
    messages = [entry["message"] for entry in browser.get_log("browser")]
    assert len(messages) == 2
    for message in messages:
        assert "Content Security Policy" in message
