"""The HTML report in a real headless Chromium."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from forkpoint.report import write_artifacts_html, write_html
from tests.report import examples

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
DRIVER = shutil.which("chromedriver")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER),
        reason="needs the programs chromium and chromedriver on PATH",
    ),
]

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    assert CHROMIUM
    assert DRIVER
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    for name in ("demo", "by_shape", "hostile", "empty", "diagnosed"):
        write_html(examples.ALL[name](), folder / f"{name}.html")
    write_html(examples.large(), folder / "large.html")
    write_artifacts_html(examples.two_folders(), folder / "files.html")
    return folder


def resize(browser: webdriver.Chrome, width: int) -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def visit(browser: webdriver.Chrome, page: Path, *, width: int = 1440) -> list[str]:
    """Open a page, wait for its map, and return the addresses it asked for."""
    resize(browser, width)
    for log in ("browser", "performance"):
        browser.get_log(log)
    browser.get(page.as_uri())
    if browser.find_elements(By.ID, "heat"):
        WebDriverWait(browser, 60).until(
            lambda b: b.find_element(By.ID, "heat").get_attribute("data-drawn") == "yes"
        )
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]


@pytest.mark.parametrize(
    "name", ["demo", "by_shape", "hostile", "empty", "diagnosed", "large", "files"]
)
def test_pages_load_nothing_and_log_nothing(
    browser: webdriver.Chrome, pages: Path, name: str
) -> None:
    page = pages / f"{name}.html"
    asked = [url for url in visit(browser, page) if not url.startswith("data:")]
    assert asked == [page.as_uri()]


def test_the_map_is_drawn(browser: webdriver.Chrome, pages: Path) -> None:
    visit(browser, pages / "by_shape.html")
    images = browser.find_elements(By.CSS_SELECTOR, "#heat .heatmaplayer image")
    assert len(images) == 2
    labels = [e.text for e in browser.find_elements(By.CSS_SELECTOR, "#heat .ytick text")]
    assert examples.FORK_MODULE in labels


def test_no_button_sends_the_map_anywhere(browser: webdriver.Chrome, pages: Path) -> None:
    visit(browser, pages / "demo.html")
    buttons = browser.find_elements(By.CSS_SELECTOR, "#heat .modebar-btn")
    assert [button.get_attribute("aria-label") for button in buttons] == [
        "Download plot as a PNG",
        "Zoom",
        "Pan",
        "Zoom in",
        "Zoom out",
        "Reset axes",
    ]


def test_arrow_keys_read_the_map(browser: webdriver.Chrome, pages: Path) -> None:
    visit(browser, pages / "by_shape.html")
    heat = browser.find_element(By.ID, "heat")
    for key in [Keys.ARROW_RIGHT] * 2 + [Keys.ARROW_DOWN] * 3:
        heat.send_keys(key)
    said = browser.find_element(By.ID, "cell").text
    assert said.startswith("Step 2 · 32\N{MULTIPLICATION SIGN}79 · embeddings.LayerNorm: differs,")
    assert "ULP" in said


def test_zooming_and_going_back(browser: webdriver.Chrome, pages: Path) -> None:
    visit(browser, pages / "large.html")
    ticks = "return heat.layout.yaxis.ticktext.length"
    whole = browser.execute_script(ticks)
    zoom = "return Plotly.relayout(heat, {'xaxis.range': [10, 20], 'yaxis.range': [19.5, 9.5]})"
    browser.execute_script(zoom)
    WebDriverWait(browser, 10).until(lambda b: b.execute_script(ticks) < whole)
    assert browser.execute_script("return heat.layout.yaxis.ticktext[0]") == "blocks.1.part0"
    browser.execute_script(
        "return Plotly.relayout(heat, {'xaxis.autorange': true, 'yaxis.autorange': true})"
    )
    WebDriverWait(browser, 10).until(lambda b: b.execute_script(ticks) == whole)
    first, last = browser.execute_script("return heat.layout.yaxis.range")
    assert first > last  # modules still run downwards


def test_hostile_names_are_text_and_run_nothing(browser: webdriver.Chrome, pages: Path) -> None:
    visit(browser, pages / "hostile.html")
    assert browser.title.startswith("divergent: <script>alert(1)</script>")
    labels = [e.text for e in browser.find_elements(By.CSS_SELECTOR, "#heat .ytick text")]
    assert "<script>alert(1)</script>" in labels
    assert any("link</a>" in label for label in labels)
    assert browser.find_elements(By.CSS_SELECTOR, "#heat a, main a") == []
    assert len(browser.find_elements(By.TAG_NAME, "script")) == 4
    heat = browser.find_element(By.ID, "heat")
    for key in [Keys.ARROW_DOWN] * 3:
        heat.send_keys(key)
    cell = browser.find_element(By.ID, "cell")
    assert "<b>bold</b> %{x}" in cell.text
    assert cell.find_elements(By.CSS_SELECTOR, "*") == []


def test_the_theme_can_be_chosen(browser: webdriver.Chrome, pages: Path) -> None:
    visit(browser, pages / "demo.html")
    paper = "return getComputedStyle(document.body).backgroundColor"
    before = browser.execute_script(paper)
    toggle = browser.find_element(By.ID, "theme")
    named = toggle.text
    toggle.click()
    assert browser.execute_script(paper) != before
    assert toggle.text != named
    toggle.click()
    assert browser.execute_script(paper) == before


@pytest.mark.parametrize("name", ["demo", "hostile", "diagnosed", "large", "empty", "files"])
@pytest.mark.parametrize("width", [390, 1440])
def test_the_page_never_scrolls_sideways(
    browser: webdriver.Chrome, pages: Path, name: str, width: int
) -> None:
    visit(browser, pages / f"{name}.html", width=width)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


def test_the_command_can_be_copied(browser: webdriver.Chrome, pages: Path) -> None:
    visit(browser, pages / "demo.html")
    browser.execute_cdp_cmd(
        "Browser.grantPermissions",
        {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]},
    )
    button = browser.find_element(By.ID, "copy")
    browser.execute_script("arguments[0].scrollIntoView({behavior: 'instant'})", button)
    button.click()
    WebDriverWait(browser, 10).until(lambda _: button.text == "Copied")
    copied = browser.execute_async_script(
        "const done = arguments[0];"
        "navigator.clipboard.readText().then(done, (error) => done(String(error)))"
    )
    assert copied == examples.demo().reproduce


@pytest.mark.parametrize("width", [390, 1440])
def test_every_sweep_is_drawn_and_fits(browser: webdriver.Chrome, pages: Path, width: int) -> None:
    visit(browser, pages / "diagnosed.html", width=width)
    pictures = browser.find_elements(By.CSS_SELECTOR, "[data-sweep]")
    assert len(pictures) == 4
    WebDriverWait(browser, 30).until(
        lambda _: all(picture.get_attribute("data-drawn") == "yes" for picture in pictures)
    )
    for picture in pictures:
        inner = picture.find_element(By.CSS_SELECTOR, "svg.main-svg")
        assert 0 < inner.size["width"] < picture.size["width"] + 1 <= width
    assert len(pictures[0].find_elements(By.CSS_SELECTOR, ".heatmaplayer image")) == 1


def test_an_experiment_opens_by_keyboard(browser: webdriver.Chrome, pages: Path) -> None:
    visit(browser, pages / "diagnosed.html")
    first = browser.find_element(By.CSS_SELECTOR, ".ladder details")
    assert "both controls passed" not in first.text
    assert first.text.startswith("✓ supported")
    first.find_element(By.TAG_NAME, "summary").send_keys(Keys.ENTER)
    assert "both controls passed" in first.text
