"""The page of a history in a real headless Chromium."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from forkpoint.report.history_page import write_history_page
from tests.report.test_browser import browser, pytestmark  # noqa: F401 - a fixture, and marks
from tests.report.test_history import calls, row, script


def test_the_matrix_is_drawn_and_filtered(browser: webdriver.Chrome, tmp_path: Path) -> None:  # noqa: F811
    page = write_history_page(script(), tmp_path / "history.html")
    browser.get(page.as_uri())
    count = browser.find_element(By.ID, "count")
    wait = WebDriverWait(browser, 30)
    wait.until(lambda _: count.text == "3 of 3 rows")
    wait.until(lambda _: browser.find_elements(By.CSS_SELECTOR, "#matrix .heatmaplayer image"))
    browser.find_element(By.ID, "filter").send_keys("GELU")
    wait.until(lambda _: count.text == "1 of 3 rows")
    errors = [one for one in browser.get_log("browser") if one["level"] == "SEVERE"]
    assert errors == []
    asked = [
        line for line in browser.get_log("performance") if "Network.requestWillBeSent" in str(line)
    ]
    assert not [line for line in asked if "requestWillBeSent" in line and "http:" in line]


def test_rows_that_change_alike_are_one_line(browser: webdriver.Chrome, tmp_path: Path) -> None:  # noqa: F811
    norms = [replace(calls().rows[0], name=f"norm {n}") for n in range(3)]
    others = [row(f"step {n}", ("a", None, "b", "b")) for n in range(205)]
    history = replace(calls(), rows=(*norms, *others), changes=())
    browser.get(write_history_page(history, tmp_path / "history.html").as_uri())
    count = browser.find_element(By.ID, "count")
    wait = WebDriverWait(browser, 30)
    wait.until(lambda _: count.text == "208 of 208 rows in 206 lines, the first 200 are drawn")
    more = browser.find_element(By.ID, "more")
    browser.execute_script("arguments[0].click()", more)  # the page scrolls smoothly: no place yet
    wait.until(lambda _: count.text == "208 of 208 rows in 206 lines")
    assert not more.is_displayed()
    browser.execute_script("arguments[0].click()", browser.find_element(By.ID, "together"))
    wait.until(lambda _: count.text == "208 of 208 rows, the first 200 are drawn")
    browser.find_element(By.ID, "filter").send_keys("norm")
    wait.until(lambda _: count.text == "3 of 208 rows")


def test_a_phone_need_not_be_scrolled_sideways(browser: webdriver.Chrome, tmp_path: Path) -> None:  # noqa: F811
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True},
    )
    try:
        browser.get(write_history_page(script(), tmp_path / "history.html").as_uri())
        WebDriverWait(browser, 30).until(
            lambda _: browser.find_elements(By.CSS_SELECTOR, "#matrix .heatmaplayer image")
        )
        assert browser.execute_script("return document.documentElement.scrollWidth") == 390
        plot = browser.find_element(By.CSS_SELECTOR, "#matrix .heatmaplayer")
        assert plot.rect["width"] > 100
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
