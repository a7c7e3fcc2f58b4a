from __future__ import annotations

import io
import threading

import pytest
from rich.console import Console

from forkpoint.report import Progress


def lines(stream: io.StringIO) -> list[str]:
    return stream.getvalue().splitlines()


def work(progress: Progress) -> None:
    with progress:
        progress.phase("old", "building")
        progress.phase("old", "building")
        progress.phase("new", "running [red]")
        progress.steps("new", 3, total=12)
        progress.steps("new", 4, total=12)
        progress.note("uv: \x1b[2J")
        progress.phase("new", "comparing")
        progress.steps("old", 1)


def test_without_a_terminal_each_phase_is_one_line() -> None:
    stream = io.StringIO()
    work(Progress(console=Console(file=stream)))
    assert lines(stream) == [
        "old: building",
        "new: running [red]",
        r"uv: \x1b[2J",
        "new: 4 steps",
        "new: comparing",
        "old: 1 step",
    ]


def test_quiet_says_nothing() -> None:
    stream = io.StringIO()
    work(Progress(quiet=True, console=Console(file=stream, force_terminal=True)))
    assert stream.getvalue() == ""


def test_a_terminal_gets_bars_for_both_environments() -> None:
    stream = io.StringIO()
    with Progress(console=Console(file=stream, force_terminal=True, width=100)) as progress:
        progress.phase("old", "building \x1b[2J")
        progress.phase("new", "running [red]")
        progress.steps("new", 4, total=12)
        progress.note("[bold]kept")
    shown = stream.getvalue()
    assert "4 of 12 steps" in shown
    assert r"building \x1b[2J" in shown
    assert "running [red]" in shown
    assert "[bold]kept" in shown
    assert "\x1b[2J" not in shown
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") == 1  # the cursor comes back


def test_bars_are_taken_down_when_the_work_is_interrupted() -> None:
    stream = io.StringIO()
    progress = Progress(console=Console(file=stream, force_terminal=True, width=100))
    with pytest.raises(KeyboardInterrupt), progress:
        progress.phase("old", "running")
        raise KeyboardInterrupt
    assert stream.getvalue().count("\x1b[?25h") == 1


def test_standard_output_stays_clean(capsys: pytest.CaptureFixture[str]) -> None:
    work(Progress())
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "old: building" in captured.err


def test_two_environments_may_report_at_once() -> None:
    stream = io.StringIO()
    with Progress(console=Console(file=stream)) as progress:
        threads = [
            threading.Thread(
                target=lambda name=name: [progress.phase(name, f"phase {i}") for i in range(50)]
            )
            for name in ("old", "new")
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(lines(stream)) == sorted(
        f"{name}: phase {i}" for name in ("old", "new") for i in range(50)
    )
