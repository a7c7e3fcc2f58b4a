"""Showing on standard error what goes on."""

from __future__ import annotations

import threading
from pathlib import Path

from rich.console import Console
from rich.text import Text

from forkpoint.api import Observer
from forkpoint.cli._errors import say, visible
from forkpoint.environments import Environment
from forkpoint.errors import ForkpointError
from forkpoint.host import JobResult, LastEvent
from forkpoint.report import Progress

MAX_LINES = 200
"""Lines of a script's output that are shown of one run; the log has all of them."""


class Watch(Observer):
    """Progress, and the script's own output behind its environment's name."""

    def __init__(self, progress: Progress, console: Console, *, quiet: bool) -> None:
        self._progress = progress
        self._console = console
        self._quiet = quiet
        self._lines: dict[str, int] = {}
        self._lock = threading.Lock()

    def building(self, name: str, line: str) -> None:
        """Show what the build does."""
        self._progress.phase(name, visible(line))

    def built(self, environment: Environment) -> None:
        """Show what a user should know of the environment."""
        for note in environment.notes:
            self.note(f"{environment.name}: {note}")

    def running(self, name: str, purpose: str) -> None:
        """Show what this run is for."""
        with self._lock:
            self._lines[name] = 0
        self._progress.phase(name, purpose)

    def event(self, name: str, last: LastEvent) -> None:
        """Show how far the run has come."""
        self._progress.steps(name, last.step + 1)

    def line(self, name: str, text: str, log: Path) -> None:
        """Show one line that the script printed, while there are not too many of them."""
        if self._quiet:
            return
        with self._lock:
            seen = self._lines[name] = self._lines.get(name, 0) + 1
        if seen <= MAX_LINES:
            self._print(name, visible(text.rpartition("\r")[2]))
        elif seen == MAX_LINES + 1:
            self._print(name, f"(more output: {log})")

    def ended(self, result: JobResult) -> None:
        """Show how many steps there were; what the disk did not take is said to quiet ones, too."""
        self._progress.steps(result.name, result.steps, total=result.steps or None)
        if result.refused:
            self._warn(
                f"{result.name}: the disk is full: it did not take {result.refused:,} tensors, "
                f"which are left out of {result.recording or result.logs}"
            )
        if result.log_cut:
            self._warn(f"{result.name}: the disk is full: the logs in {result.logs} are not whole")

    def note(self, text: str) -> None:
        """Show a sentence."""
        self._progress.note(text)

    def failed(self, failure: ForkpointError) -> None:
        """Show why a run failed, also where quiet was asked for."""
        say(failure.message, failure.hint)

    def _warn(self, text: str) -> None:
        self._console.print(
            Text.assemble(("Warning: ", "bold yellow"), visible(text)), soft_wrap=True
        )

    def _print(self, name: str, text: str) -> None:
        self._console.print(Text.assemble((f"{name} │ ", "dim"), text), soft_wrap=True)
