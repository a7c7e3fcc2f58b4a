from __future__ import annotations

import io

import pytest
from rich.console import Console
from syrupy.assertion import SnapshotAssertion

from forkpoint.model import Comparison
from forkpoint.report import render_comparison
from tests.report import examples


def render(comparison: Comparison, width: int, *, colour: bool = False) -> str:
    stream = io.StringIO()
    console = Console(
        file=stream,
        width=width,
        force_terminal=colour,
        color_system="truecolor" if colour else None,
        legacy_windows=False,
    )
    render_comparison(comparison, console)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", [*examples.ALL, "large"])
def test_report(name: str, width: int, snapshot: SnapshotAssertion) -> None:
    assert render(getattr(examples, name)(), width) == snapshot


@pytest.mark.parametrize("name", examples.ALL)
def test_only_commands_are_wider_than_the_terminal(name: str) -> None:
    comparison = examples.ALL[name]()
    lines = render(comparison, 80).splitlines()
    wide = [line for line in lines if len(line) > 80 and comparison.reproduce not in line]
    assert [line for line in wide if not line.startswith("      forkpoint ")] == []


def test_the_verdict_comes_first_in_words() -> None:
    assert render(examples.demo(), 80).startswith("divergent: 12 of 12 steps differ.")


def test_foreign_text_sends_nothing_to_the_terminal() -> None:
    shown = render(examples.hostile(), 120)
    assert "\x1b" not in shown
    assert "[red]layer[/red]" in shown
    assert r"\x1b[31mred\x1b[0m\nsecond line" in shown


def test_long_tables_say_what_they_leave_out() -> None:
    assert "… 166 more shapes; --format json has all" in render(examples.large(), 80)


def test_colour_repeats_what_words_say() -> None:
    coloured = render(examples.by_shape(), 100, colour=True)
    assert "\x1b[" in coloured
    assert "identical" in coloured
