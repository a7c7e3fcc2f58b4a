"""What happens while environments are built and run, on standard error only.

Bars on a terminal, one plain line for each phase elsewhere, nothing where quiet was asked for.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.text import Text

from forkpoint.report.words import shorten

_NAME, _TEXT = 16, 44


class Progress:
    """Reports on several named environments at once; safe to call from several threads.

    ``console`` is where to write, standard error where none is given. Use it as a context
    manager: bars are taken down at its end, an exception or Ctrl-C included.
    """

    def __init__(self, *, quiet: bool = False, console: Console | None = None) -> None:
        console = console or Console(stderr=True)
        self._lock = threading.Lock()
        self._display: _Display
        if quiet:
            self._display = _Nothing()
        elif console.is_terminal and not console.is_dumb_terminal:
            self._display = _Bars(console)
        else:
            self._display = _Lines(console)

    def __enter__(self) -> Self:
        self._display.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._lock:
            self._display.stop()

    def phase(self, name: str, text: str) -> None:
        """Environment ``name`` now does ``text``: building, importing, running, comparing."""
        with self._lock:
            self._display.phase(shorten(name, _NAME), shorten(text, 200))

    def steps(self, name: str, done: int, *, total: int | None = None) -> None:
        """``done`` steps are recorded in environment ``name``, of ``total`` where that is known."""
        with self._lock:
            self._display.steps(shorten(name, _NAME), done, total)

    def note(self, text: str) -> None:
        """One line that stays on the screen."""
        with self._lock:
            self._display.note(shorten(text, 2000))


class _Display(ABC):
    """One way to show progress; the texts it gets are plain and short."""

    def start(self) -> None:  # noqa: B027 - nothing to set up in most displays
        """Begin to show."""

    def stop(self) -> None:  # noqa: B027 - nothing to take down in most displays
        """Leave the terminal as it was."""

    @abstractmethod
    def phase(self, name: str, text: str) -> None: ...

    @abstractmethod
    def steps(self, name: str, done: int, total: int | None) -> None: ...

    @abstractmethod
    def note(self, text: str) -> None: ...


class _Nothing(_Display):
    def phase(self, name: str, text: str) -> None:
        pass

    def steps(self, name: str, done: int, total: int | None) -> None:
        pass

    def note(self, text: str) -> None:
        pass


class _Lines(_Display):
    """One line for each phase, and the number of steps where a phase is left behind."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._phases: dict[str, str] = {}
        self._done: dict[str, int] = {}

    def stop(self) -> None:
        for name in list(self._done):
            self._flush(name)

    def phase(self, name: str, text: str) -> None:
        if self._phases.get(name) == text:
            return
        self._flush(name)
        self._phases[name] = text
        self.note(f"{name}: {text}")

    def steps(self, name: str, done: int, total: int | None) -> None:  # noqa: ARG002
        self._done[name] = done

    def note(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=True)

    def _flush(self, name: str) -> None:
        done = self._done.pop(name, 0)
        if done:
            self.note(f"{name}: {done:,} step{'' if done == 1 else 's'}")


class _Bars(_Display):
    """A row for each environment: a pulse while nothing can be counted, then step counts."""

    def __init__(self, console: Console) -> None:
        self._bars = Bars(
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=16),
            TextColumn("{task.fields[count]}", markup=False, justify="right"),
            TextColumn("{task.fields[text]}", markup=False),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            # the script's own standard output must go where the user sent it
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._tasks: dict[str, TaskID] = {}

    def start(self) -> None:
        self._bars.start()

    def stop(self) -> None:
        self._bars.stop()

    def phase(self, name: str, text: str) -> None:
        task = self._task(name)
        self._bars.reset(task, total=None, text=shorten(text, _TEXT), count="")

    def steps(self, name: str, done: int, total: int | None) -> None:
        shown = f"{done:,} of {total:,} steps" if total else f"{done:,} steps"
        self._bars.update(self._task(name), completed=done, total=total, count=shown)

    def note(self, text: str) -> None:
        self._bars.console.print(Text(text), soft_wrap=True)

    def _task(self, name: str) -> TaskID:
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, total=None, text="", count="")
        return self._tasks[name]
