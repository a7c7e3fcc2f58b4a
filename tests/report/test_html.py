from __future__ import annotations

import base64
import hashlib
import json
import re
import resource
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from forkpoint.errors import StorageFull, UsageError
from forkpoint.model import Comparison
from forkpoint.report import write_artifacts_html, write_html
from forkpoint.report.artifacts_page import artifacts_to_html
from forkpoint.report.heat import MAX_MODULES, MAX_STEPS, heat_data, heat_note
from forkpoint.report.html import to_html
from forkpoint.report.page import code_spans
from tests.report import examples


class Page(HTMLParser):
    """Elements, scripts and text of a page as a browser would split them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.text: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            attrs, text = self.scripts[-1]
            self.scripts[-1] = (attrs, text + data)
        elif self._inside != "style":
            self.text.append(data)


def test_a_shape_whose_inputs_differ_is_not_left_without_a_word() -> None:
    text = "".join(Page(to_html(examples.chained())).text)
    assert "Within tolerance 2, identical 1inputs differ3 steps" in text.replace("within", "Within")
    assert "such a step has no fork of its own" in text


@pytest.mark.parametrize("make", examples.ALL.values(), ids=examples.ALL)
def test_the_policy_allows_the_scripts_of_the_page_and_no_others(
    make: Callable[[], Comparison],
) -> None:
    page = Page(to_html(make()))
    policy = next(a["content"] for t, a in page.tags if t == "meta" and "http-equiv" in a) or ""
    allowed = set(re.findall(r"'sha256-([^']+)'", policy))
    run = {
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for attrs, text in page.scripts
        if attrs.get("type") != "application/json"
    }
    assert run == allowed
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy


@pytest.mark.parametrize("make", examples.ALL.values(), ids=examples.ALL)
def test_nothing_is_loaded_and_no_handler_is_inline(make: Callable[[], Comparison]) -> None:
    for tag, attrs in Page(to_html(make())).tags:
        assert "src" not in attrs
        assert not any(name.startswith("on") for name in attrs)
        href = attrs.get("href") or "#"
        assert href.startswith(("#", "data:,")), (tag, href)


def test_hostile_names_are_text() -> None:
    page = Page(to_html(examples.hostile()))
    assert len(page.scripts) == 4
    assert not any(tag == "b" and "bold" in str(attrs) for tag, attrs in page.tags)
    text = "".join(page.text)
    for name in examples.HOSTILE[:4]:
        assert name in text
    assert "\u202e" not in text
    assert r"\x1b[31mred" in text


def test_the_data_block_holds_the_map() -> None:
    comparison = examples.by_shape()
    page = Page(to_html(comparison))
    raw = next(text for attrs, text in page.scripts if attrs.get("id") == "data")
    data = json.loads(raw)["heat"]
    assert "<" not in raw
    assert data["steps"] == [step.index for step in comparison.steps]
    measured = sum(states.count("m") for states in data["states"])
    assert measured == len(data["max_abs"]) == len(data["max_ulp"]) > 0
    assert {len(states) for states in data["states"]} == {len(data["modules"])}
    assert data["forks"][2] == data["modules"].index(examples.FORK_MODULE)


def test_sections_without_content_are_left_out() -> None:
    titles = {attrs.get("id") for tag, attrs in Page(to_html(examples.demo())).tags}
    assert titles.isdisjoint({"origins", "experiments", "artifacts", "uncovered"})
    more = {attrs.get("id") for tag, attrs in Page(to_html(examples.diagnosed())).tags}
    assert {"origins", "experiments", "artifacts"} <= more


def test_every_table_has_a_caption_and_row_heads() -> None:
    tags = [tag for tag, _ in Page(to_html(examples.diagnosed())).tags]
    assert tags.count("table") == tags.count("caption") > 0
    assert tags.count("main") == tags.count("h1") == tags.count("nav") == 1


def test_a_large_map_is_capped_and_says_so() -> None:
    comparison = examples.large(MAX_STEPS + 5, MAX_MODULES + 1)
    data = heat_data(comparison)
    assert len(data.steps) == MAX_STEPS
    assert {len(states) for states in data.states} == {MAX_MODULES}
    assert heat_note(comparison.heat) == (
        "Not drawn: 5 steps and 1 module, to keep this page light."
    )


def test_the_page_of_a_large_comparison_stays_small(tmp_path: Path) -> None:
    path = write_html(examples.large(), tmp_path / "new folder" / "report.html")
    assert path.stat().st_size < 10_000_000
    assert [entry.name for entry in path.parent.iterdir()] == ["report.html"]


def test_a_report_that_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match="could not be written") as caught:
        write_html(examples.identical(), tmp_path / "file" / "report.html")
    assert "--html" in caught.value.hint


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_said_to_be_full(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(StorageFull, match=r"could not be written to .*: File too large"):
            write_html(examples.identical(), tmp_path / "report.html")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_the_page_of_two_folders_carries_all_it_needs(tmp_path: Path) -> None:
    path = write_artifacts_html(examples.two_folders(), tmp_path / "files.html")
    page = Page(path.read_text())
    policy = next(a["content"] for t, a in page.tags if t == "meta" and "http-equiv" in a) or ""
    allowed = set(re.findall(r"'sha256-([^']+)'", policy))
    run = {
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for _, text in page.scripts
    }
    assert run == allowed
    assert path.stat().st_size < 100_000
    text = " ".join("".join(page.text).split())
    assert "index/centroids.pt" in text
    assert "21 of 24 queries keep their order" in text


def test_hostile_names_of_files_are_text() -> None:
    page = Page(artifacts_to_html(examples.two_folders(examples.HOSTILE[1])))
    assert len(page.scripts) == 2
    assert examples.HOSTILE[1] in "".join(page.text)


def test_the_data_block_holds_every_sweep_in_the_order_of_the_page() -> None:
    page = Page(to_html(examples.diagnosed()))
    raw = next(text for attrs, text in page.scripts if attrs.get("id") == "data")
    drawn = [attrs["data-sweep"] for _, attrs in page.tags if "data-sweep" in attrs]
    sweeps = json.loads(raw)["sweeps"]
    assert drawn == [str(i) for i in range(len(sweeps))] == ["0", "1", "2", "3"]
    for sweep in sweeps:
        assert len(sweep["labels"]) == len(sweep["inputs"]) == len(sweep["differing"])


def test_names_in_backticks_are_code_and_nothing_else_is_markup() -> None:
    assert code_spans("Only `a<b>` differs") == "Only <code>a&lt;b&gt;</code> differs"
    assert code_spans("one ` and <b>") == "one ` and &lt;b&gt;"
