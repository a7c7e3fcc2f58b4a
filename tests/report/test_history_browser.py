"""The page of a history in a real headless Chromium."""

from __future__ import annotations

from pathlib import Path

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from forkpoint.report.history_page import write_history_page
from tests.report.test_browser import browser, pytestmark  # noqa: F401 - a fixture, and marks
from tests.report.test_history import script


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
