import contextlib
import json
import os
import re
import socket
import threading
import xml.etree.ElementTree
from html.parser import HTMLParser

import psutil
import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from evidence import charts
from evidence.page import page
from evidence.setups import STOCK
from overlay.errors import OverlayError
from overlay.servers.process import program
from overlay.tests.documents import (
    EXAMPLE,
    HELD,
    MANY,
    document,
    healthy,
    not_run,
    setup,
)

# In seconds, for all that is done in the browser, its start included.
DEADLINE = 120

HOSTILE = "</td></style><script>alert('\"&')</script><img src=http://[::1]/> | $x$ é"


class Elements(HTMLParser):
    """The rows of the HTML's tables, its images, and the elements it has."""

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

    def images(self):
        return [attributes for tag, attributes in self.elements if tag == "img"]


@pytest.mark.parametrize("made", [EXAMPLE, document(setup()), document(), MANY])
def test_page(made):
    html = page(made)
    elements = Elements(html)
    assert made["sentence"] in elements.text
    assert made["legend"] in elements.text
    assert f"{made['command']} --html report.html" in elements.text
    for name, version in (made["versions"] | made["machine"]).items():
        assert [name, str(version)] in elements.rows
    rows = [row for row in elements.rows if len(row) > 2]
    assert rows[0][:3] == ["server", "connections", "Django"]
    assert len(rows) == 1 + len(made["setups"])


def test_page_is_the_same_each_time():
    assert page(EXAMPLE) == page(EXAMPLE)


def test_rows():
    elements = Elements(page(EXAMPLE))
    names = [setup["django"] for setup in EXAMPLE["setups"]]
    rows = [row[-10:] for row in elements.rows[1:6]]
    figures = ["122", "71", "4", "3", "2", "4", "1.3"]
    assert rows == [
        ["pool", names[0], *figures, "6 of 7"],
        ["pool", names[1], *figures, "6 of 7"],
        ["pool", names[2], "200", "0", "0", "0", "0", "4", "1.3", "8 of 8"],
        ["persistent", names[3], *figures, ""],
        ["persistent", names[4], "not run: pip can't install it"],
    ]
    assert "A note." in elements.text
    assert EXAMPLE["setups"][1]["errors"][0] in elements.text


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
    assert {attributes["src"][:5] for attributes in elements.images()} == {"data:"}
    assert html.count("</style>") == 1
    for text in hostile.values():
        assert text in elements.text


def test_no_address_of_elsewhere():
    for _, attributes in Elements(page(EXAMPLE)).elements:
        for name in ("src", "srcset", "href", "action", "data"):
            assert attributes.get(name, "data:").startswith("data:")


def test_charts_of_page():
    """Those of the outcomes, and who held what on stock and the fork."""
    texts = [attributes["alt"] for attributes in Elements(page(EXAMPLE)).images()]
    assert texts == [
        "gunicorn sync, stock: 122 right, 71 wrong, 4 failed, 3 hung; gunicorn sync, "
        "workaround: 122 right, 71 wrong, 4 failed, 3 hung; gunicorn sync, fork: 200 "
        "right",
        "gunicorn sync, stock: 122 right, 71 wrong, 4 failed, 3 hung; gunicorn sync, "
        "fork: not run",
        "Before the fork: process 100 holds 7, 8. At the end of the load: process 100 "
        "holds 7, 8; process 101 holds 7, 8; process 102 holds none.",
        "Before the fork: process 100 holds 7, 8. At the end of the load: process 100 "
        "holds 7, 8; process 101 holds 9, 10; process 102 holds 11, 12.",
        "Before the fork: process 100 holds 7, 8.",
    ]


def drawn(svg):
    """Return the texts in `svg`, and the colours."""
    texts = xml.etree.ElementTree.fromstring(svg).findall(".//{*}text")
    return [text.text for text in texts], set(re.findall("#[0-9a-f]{6}", svg))


def test_bars():
    chart = charts.bars(EXAMPLE["setups"])
    texts, colours = drawn(chart.light)
    assert "gunicorn sync" in texts
    assert "stock: 122 right, 71 wrong, 4 failed, 3 hung" in texts
    assert "fork: not run" in texts
    outcomes = charts.OUTCOMES
    assert {getattr(charts.LIGHT, name) for name in outcomes} <= colours
    assert {getattr(charts.DARK, name) for name in outcomes} <= drawn(chart.dark)[1]


def test_bars_of_nothing():
    for made in (not_run(), healthy(right=0)):
        assert "gunicorn sync" in drawn(charts.bars([made]).light)[0]


def test_bars_of_what_ended_early():
    """What was counted until then is not a result."""
    early = setup(not_run="it ended")
    assert charts.bars([early]) == charts.bars([not_run(django=STOCK)])


@pytest.mark.parametrize(
    "held, shared",
    [
        (HELD, True),
        (healthy()["held"], False),
        (HELD[:1], False),
        ([{}, HELD[1]], True),
        ([{"100": [7]}, {}], False),
        ([{"100": []}, {"100": []}], False),
    ],
)
def test_holders(held, shared):
    texts, colours = drawn(charts.holders(held).light)
    ids = [
        name
        for sessions_of in held
        for process, sessions in sessions_of.items()
        for name in (process, *map(str, sessions))
    ]
    assert set(ids) <= set(texts)
    # Each session once, and each process for each time.
    sessions = {name for name in ids if len(name) < 3}
    processes = [name for name in ids if len(name) == 3]
    numbers = sorted(text for text in texts if text.isdigit())
    assert numbers == sorted([*sessions, *processes])
    assert (charts.LIGHT.wrong in colours) == shared


@pytest.mark.parametrize("held", [[], [{}], [{}, {}]])
def test_nobody_held_anything(held):
    html = page(document(setup(held=held)))
    assert len(Elements(html).images()) == 1


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
    try:
        binary = program("chromium", "chromium")
        driver = program("chromedriver", "chromium-driver")
    except OverlayError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
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
    assert table.is_displayed()
    assert len(table.find_elements(By.CSS_SELECTOR, "tbody tr")) == len(made["setups"])
    for details in browser.find_elements(By.TAG_NAME, "details"):
        browser.execute_script("arguments[0].open = true", details)
    images = browser.find_elements(By.TAG_NAME, "img")
    assert len(images) > 2
    for image in images:
        assert image.is_displayed()
        assert image.aria_role == "image"
        # 0 where it can't be drawn.
        assert image.get_property("naturalWidth") > 0
        assert image.accessible_name
    assert overflow(browser) <= 0
    assert browser.get_log("browser") == []
    assert requested(browser) == [address]


def test_themes(browser, opened):
    seen = {}
    for theme in ("light", "dark"):
        opened(page(EXAMPLE), theme)
        texts = browser.execute_script(TEXTS)
        images = browser.find_elements(By.TAG_NAME, "img")
        seen[theme] = [
            *(colours for _, *colours, _ in texts[:1]),
            *(image.get_property("currentSrc") for image in images),
        ]
        assert len(texts) > 50
        for text, colour, background, size in texts:
            assert contrast(colour, background) >= 4.5, text
            assert size >= 14, text
    for light, dark in zip(*seen.values(), strict=True):
        assert light != dark


def test_colours_of_charts():
    for theme in (charts.LIGHT, charts.DARK):
        background = bytes.fromhex(theme.background[1:])
        for name in charts.OUTCOMES:
            colour = bytes.fromhex(getattr(theme, name)[1:])
            assert contrast(colour, background) >= 3


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
