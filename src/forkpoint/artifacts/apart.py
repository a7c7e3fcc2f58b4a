"""Files compared in a process of their own: whatever a file does to its reader is told in its row.

Here is the one place where it is guaranteed, for every reader, those of other packages included,
that a file ends nothing but its own comparison: any exception becomes a reason, memory and time
are limited in proportion to the files' sizes, and where the process dies over a file (a signal,
memory that ran out inside of a library), the next one goes on behind it.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NoReturn

import msgspec

from forkpoint.artifacts.comparer import Found, Refused
from forkpoint.errors import ForkpointError
from forkpoint_worker.limits import memory_limit

ROOM = 700 << 20
GROWTH = 32
"""Comparing files may take 700 MiB, and 32 times what they have."""

SECONDS = 40.0
SPEED = 2e6
"""It may take 40 seconds, and a second for every 2 MB."""

_HINT = "If it came from elsewhere, do not trust it."


@dataclass(frozen=True, slots=True)
class Job:
    """A comparison to make: ``size`` is that of all its files, in bytes."""

    size: int
    run: Callable[[], Iterable[Found]]


Answer = list[Found] | Refused


def answers(jobs: Sequence[Job]) -> Iterator[Answer]:
    """What each job found, in their order; `Refused` says why one found nothing."""
    if not hasattr(os, "fork"):  # no limits, then
        yield from (_run(job) for job in jobs)
        return
    done = 0
    while done < len(jobs):
        with _Process(jobs[done:]) as process:
            while done < len(jobs):
                answer = process.answer(SECONDS + jobs[done].size / SPEED)
                done += 1
                yield answer
                if process.ended:
                    break


def told(error: Exception) -> Refused:
    """Any exception as the reason why a file is not compared."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, ForkpointError):
        return Refused(error.message, hint=error.hint)
    if isinstance(error, MemoryError):
        return Refused("Comparing it takes more memory than there is, or than it may.", hint=_HINT)
    if isinstance(error, RecursionError):
        return Refused("It is nested too deeply.", hint=_HINT)
    if isinstance(error, OSError):
        return Refused(f"It cannot be read: {error.strerror or error}.", hint=_HINT)
    first = (str(error).splitlines() or [""])[0][:200]
    return Refused(f"It cannot be compared: {type(error).__name__}: {first}.", hint=_HINT)


def _run(job: Job) -> Answer:
    try:
        with memory_limit(ROOM + GROWTH * job.size):
            return list(job.run())
    except Exception as error:  # noqa: BLE001 - whatever a reader makes of a file is its row
        return told(error)


class _Process:
    """A child that makes one comparison after the other, and is killed at the end."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._answers, ours = os.pipe()
        with warnings.catch_warnings():  # other threads hold nothing that the child needs
            warnings.simplefilter("ignore", DeprecationWarning)
            self._child = os.fork()
        if not self._child:
            _work(jobs, ours)
        os.close(ours)
        self._data = bytearray()
        self.ended = False

    def __enter__(self) -> _Process:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()
        os.close(self._answers)

    def answer(self, seconds: float) -> Answer:
        """The next answer; `Refused` where the child dies first, or takes longer than that."""
        until = time.monotonic() + seconds
        seen = 0
        while (end := self._data.find(b"\n", seen)) < 0:
            seen = len(self._data)
            left = until - time.monotonic()
            if left <= 0 or not select.select([self._answers], [], [], left)[0]:
                self._end()
                return Refused(
                    f"Comparing it took more than {seconds:.0f} seconds and was stopped.",
                    hint=_HINT,
                )
            piece = os.read(self._answers, 1 << 20)
            if not piece:
                return self._death()
            self._data += piece
        line = bytes(self._data[:end])
        del self._data[: end + 1]
        return _decoded(line)

    def _death(self) -> Refused:
        status = self._end()
        how = "an exit" if status is None or status >= 0 else signal.Signals(-status).name
        return Refused(
            f"The process that read it died over it ({how}): it is damaged, or takes more memory "
            "than it may.",
            hint=_HINT,
        )

    def _end(self) -> int | None:
        if self.ended:
            return None
        self.ended = True
        # a child that is dead already keeps the status it died with
        with suppress(ProcessLookupError):
            os.kill(self._child, signal.SIGKILL)
        try:
            return os.waitstatus_to_exitcode(os.waitpid(self._child, 0)[1])
        except ChildProcessError:  # the program that we are part of has no interest in children
            return None


def _work(jobs: Sequence[Job], out: int) -> NoReturn:
    """The child's whole life."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (1, 2):  # libraries say on them what they die of
            os.dup2(nowhere, stream)
        warm_up()
        for job in jobs:
            _write(out, _encoded(_run(job)))
    finally:
        os._exit(0)


def warm_up() -> None:
    """Have pyarrow, where the program uses it already, take its GiB of room before any limit."""
    pyarrow = sys.modules.get("pyarrow")
    with suppress(Exception):  # half an import is no pyarrow
        pyarrow.array([0])  # type: ignore[union-attr]


def _write(out: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(out, view) :]


def _encoded(answer: Answer) -> bytes:
    """One line of ASCII: text of files may be such as UTF-8 cannot hold."""
    value: Any = (
        {"refused": answer.message, "hint": answer.hint}
        if isinstance(answer, Refused)
        else {"found": msgspec.to_builtins(answer)}
    )
    try:
        return json.dumps(value).encode() + b"\n"
    except (MemoryError, ValueError, TypeError) as error:
        return _encoded(told(error))


def _decoded(line: bytes) -> Answer:
    value = json.loads(line)
    if "refused" in value:
        return Refused(value["refused"], hint=value["hint"])
    return msgspec.convert(value["found"], list[Found])
