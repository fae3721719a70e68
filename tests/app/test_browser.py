"""The page in Chromium, started as a user does: each tab is used, narrow and wide."""

import re
import shutil
import signal
import time

import pytest

pytest.importorskip("gradio")
pytest.importorskip("playwright")

from tests.app.served import served
from tests.app.test_tabs import write_tone

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.exhaustive,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]
WAIT = 60_000  # milliseconds, for a model to load and to explain
# The title of a tab, its button, and what its answer says.
TABS = {
    "Images": ("Classify", r"(red|green|blue|yellow) \("),
    "Texts": ("Classify", r"positive \("),
    "Translation": ("Translate", "gare"),
    "Text generation": ("Continue", "ROMEO"),
    "Forecasting": ("Forecast a drawn series", "Forecast of 720 steps"),
    "Audio": ("Classify", r"(zero|one|two|three|four|five|six|seven|eight|nine) \("),
    "Object detection": ("Detect", "RBC"),
}
TEXTS = {
    "Texts": "An hour too long, and I loved every minute of it.",
    "Translation": "I would like to know where the station is.",
    "Text generation": "ROMEO:",
}


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with served(tmp_path_factory.mktemp("served")) as (_, address):
        yield address


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Page:
    """A page of the browser, which notes its requests and errors."""

    def __init__(self, browser, address, width):
        self.page = browser.new_page(viewport={"width": width, "height": 900})
        self.address, self.width = address, width
        self.requests, self.errors = [], []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on(
            "console",
            lambda message: self.errors.append(message.text) if message.type == "error" else None,
        )
        self.page.goto(address)
        self.page.get_by_role("tab").first.wait_for()

    def open(self, title):
        """Open a tab; where it has no room, from the menu of the others."""
        tab = self.page.get_by_role("tab", name=title, exact=True)
        if tab.first.is_visible():
            tab.first.click()
        else:
            self.page.locator(".overflow-menu > button").first.click()
            self.page.locator(".overflow-dropdown button", has_text=title).click()
        self.visible(".ka-about").first.wait_for()

    def visible(self, selector):
        return self.page.locator(selector).locator("visible=true")

    def box(self, title):
        """The box of the answer or of the explanation."""
        return self.visible(".ka-explanation" if title == "Explanation" else ".ka-answers").first

    def press(self, button):
        self.page.get_by_role("button", name=button, exact=True).locator("visible=true").click()

    def finish(self):
        """Wait until the answer is explained."""
        self.box("Explanation").get_by_text("rank correlation").first.wait_for(timeout=WAIT)

    def overflows(self):
        """Whether the page is wider than the window."""
        return self.page.evaluate(
            "document.documentElement.scrollWidth > document.documentElement.clientWidth + 1"
        )

    def check(self):
        """That nothing was asked of another host, and nothing went wrong."""
        allowed = (f"{self.address}/", "data:", "blob:")
        assert [url for url in self.requests if not url.startswith(allowed)] == []
        assert self.errors == []


@pytest.mark.parametrize("width", [1400, 400])
def test_each_tab_answers_and_explains(browser, address, width, tmp_path):
    page = Page(browser, address, width)
    for title, (button, expected) in TABS.items():
        page.open(title)
        page.page.screenshot(path=tmp_path / f"{title}_{width}_before.png", full_page=True)
        if title in TEXTS:
            page.visible("textarea").first.fill(TEXTS[title])
        elif title == "Audio":
            sound = write_tone(tmp_path / "tone.wav")
            page.page.locator("[role=tabpanel]").locator("visible=true").locator(
                "input[type=file]"
            ).set_input_files(sound)
        elif title != "Forecasting":
            page.visible(".gallery-item").first.click()
            page.visible(".ka-picture img").first.wait_for()
        if title == "Audio":
            page.page.wait_for_timeout(1_500)  # until it is uploaded
        page.press(button)
        page.finish()
        assert re.search(expected, page.box("Answer").inner_text()), title
        page.page.screenshot(path=tmp_path / f"{title}_{width}_after.png", full_page=True)
        assert not page.overflows(), title
    page.check()


def test_chinese_reviews_are_answered(browser, address, tmp_path):
    page = Page(browser, address, 1400)
    page.open("Texts")
    page.page.get_by_text("房间很干净").locator("visible=true").first.click()
    page.page.wait_for_function(
        "[...document.querySelectorAll('textarea')].some(area => area.value.includes('房间'))"
    )
    page.press("Classify")
    page.finish()
    assert "positive (" in page.box("Answer").inner_text()
    assert "净" in page.box("Explanation").inner_text()
    page.page.screenshot(path=tmp_path / "chinese.png", full_page=True)
    page.check()


def test_bad_input_is_reported_on_the_page(browser, address, tmp_path):
    page = Page(browser, address, 1400)
    page.open("Texts")
    page.press("Classify")
    page.page.get_by_text("The text is empty. Type one.").first.wait_for()
    damaged = tmp_path / "照片.png"
    damaged.write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    tables = tmp_path / "series.csv"
    tables.write_text("date,OT\n2024-01-01 00:00:00,1.0\n2024-01-01 01:00:00,2.0\n")
    sound = tmp_path / "a.wav"
    sound.write_bytes(b"RIFF no sound")
    for title, path, message in (
        ("Object detection", damaged, "照片.png"),
        ("Forecasting", tables, "HUFL"),
        ("Audio", sound, "a.wav"),
    ):
        page.open(title)
        panel = page.page.locator("[role=tabpanel]").locator("visible=true")
        panel.locator("input[type=file]").set_input_files(path)
        page.page.wait_for_timeout(1_500)
        page.press(TABS[title][0].removesuffix(" a drawn series"))
        toast = page.visible(".toast-body.error").filter(has_text=message)
        toast.first.wait_for(timeout=WAIT)
        assert message in page.box("Answer").inner_text()
        assert "Traceback" not in toast.first.inner_text()
        page.page.screenshot(path=tmp_path / f"{title}_error.png", full_page=True)


def test_two_browsers_at_once_get_their_own_answers(browser, address):
    pages = [Page(browser, address, 1000) for _ in range(2)]
    texts = ["A dull, bad, boring film.", "A wonderful film, and I loved it."]
    for page, text in zip(pages, texts, strict=True):
        page.open("Texts")
        page.visible("textarea").first.fill(text)
        page.press("Classify")
    for page, label in zip(pages, ("negative", "positive"), strict=True):
        page.finish()
        assert label in page.box("Answer").inner_text()
        page.check()


def test_ctrl_c_ends_it_quietly(tmp_path, browser):
    with served(tmp_path, "shapes_small_attention_cnn") as (process, address):
        page = Page(browser, address, 800)
        page.page.get_by_role("button", name="Classify").first.wait_for()
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0
        assert time.monotonic() - started < 15
        assert process.stdout.read() == ""
        assert (tmp_path / "stderr").read_text() == ""
    assert list((tmp_path / "temporary").iterdir()) == []
