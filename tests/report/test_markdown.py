from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion

from forkpoint.report import markdown, to_markdown
from tests.report import examples


@pytest.mark.parametrize("name", [*examples.ALL, "large"])
def test_summary(name: str, snapshot: SnapshotAssertion) -> None:
    assert to_markdown(getattr(examples, name)()) == snapshot


@pytest.mark.parametrize("name", [*examples.ALL, "large"])
def test_every_row_of_a_table_has_its_columns(name: str) -> None:
    width = 0
    for line in to_markdown(getattr(examples, name)()).splitlines():
        bars = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("| ") else 0
        assert width in (0, bars) or not bars, line
        width = bars


@given(st.text())
def test_names_are_never_markup(name: str) -> None:
    escaped = markdown.escape(name).replace("<!-- -->", "")
    assert not re.search(r"(?<!\\)(?:\\\\)*[|<>`*\[\]]", escaped)


def test_code_in_a_sentence_is_code_and_nothing_else_is() -> None:
    assert markdown.prose("Only `native_layer_norm` (fp32) differs.") == (
        "Only `native_layer_norm` (fp32) differs."
    )
    assert markdown.prose("a_b `@x` `*") == r"a\_b \`@<!-- -->x\` \`\*"


@given(st.text(), st.text())
@example("\\", "")
def test_text_around_code_is_never_markup(before: str, after: str) -> None:
    written = markdown.prose(f"{before}`op`{after}").replace("<!-- -->", "")
    # a backslash that is escaped itself escapes nothing
    outside = re.sub(r"(?<!\\)((?:\\\\)*)`\w(?:[\w.=:, -]*\w)?`", r"\1", written)
    assert not re.search(r"(?<!\\)(?:\\\\)*[|<>`*\[\]]", outside)


def test_nobody_is_notified_and_nothing_is_linked() -> None:
    escaped = markdown.escape("@someone #12 https://example.org www.example.org")
    assert "@<!-- -->someone" in escaped
    assert "https://e" not in escaped
    assert "www.e" not in escaped


def test_a_command_cannot_leave_its_block() -> None:
    assert markdown._code_block("```\n# title").startswith("````sh\n")
