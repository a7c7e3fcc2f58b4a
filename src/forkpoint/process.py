"""The one place where forkpoint starts other programs.

`run` starts a program in a process group of its own, hands its output on line by line
while keeping it in a file, and leaves nothing running behind: at the time limit, on Ctrl-C
and when a callback raises, the whole group is killed, children included.
"""

from __future__ import annotations

import os
import signal
import subprocess  # noqa: S404 - this is the seam
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

KILL_AFTER = 3.0
"""Seconds between asking a process group to end and killing it."""

_POLL = 0.05
_MAX_LINE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Completed:
    """How a program ended.

    ``returncode`` is negative for a signal, as `subprocess` has it; ``timed_out`` says that
    the time limit ended it. ``stdout`` and ``stderr`` are the files that hold its output.
    """

    argv: tuple[str, ...]
    returncode: int
    seconds: float
    timed_out: bool
    stdout: Path
    stderr: Path

    def tail(self, lines: int = 20) -> str:
        """The end of what the program wrote to its standard error (at most 64 KiB of it)."""
        with self.stderr.open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - _MAX_LINE))
            text = stream.read().decode(errors="replace")
        return "\n".join(text.splitlines()[-lines:])


@dataclass(frozen=True, slots=True)
class Listener:
    """What to call while a program runs: ``line(stream, text)`` per line, ``tick()`` often."""

    line: Callable[[str, str], None] | None = None
    tick: Callable[[], None] | None = None


def run(
    argv: Sequence[str],
    *,
    logs: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float | None = None,
    listener: Listener | None = None,
) -> Completed:
    """Run a program to its end; its output goes to ``logs/stdout.log`` and ``stderr.log``.

    ``env`` replaces the environment where given; ``timeout`` is in seconds. Raises `OSError`
    where the program cannot be started; a failing program is a value, not an exception.
    """
    listener = listener or Listener()
    logs.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with (
        (logs / "stdout.log").open("wb") as out,
        (logs / "stderr.log").open("wb") as err,
        subprocess.Popen(  # noqa: S603 - argv is a list, no shell
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=None if env is None else dict(env),
            cwd=cwd,
            start_new_session=True,
        ) as child,
    ):
        pumps = _start_pumps(child, {"stdout": out, "stderr": err}, listener)
        try:
            timed_out = _wait(child, started, timeout, listener)
        finally:
            _end_group(child)
            for pump in pumps:
                pump.join(timeout=KILL_AFTER)
    return Completed(
        argv=tuple(argv),
        returncode=child.returncode,
        seconds=time.monotonic() - started,
        timed_out=timed_out,
        stdout=logs / "stdout.log",
        stderr=logs / "stderr.log",
    )


def _wait(
    child: subprocess.Popen[bytes], started: float, timeout: float | None, listener: Listener
) -> bool:
    """Wait for the program's end; True where the time limit came first."""
    while True:
        with suppress(subprocess.TimeoutExpired):
            child.wait(timeout=_POLL)
            return False
        if listener.tick:
            listener.tick()
        if timeout is not None and time.monotonic() - started > timeout:
            return True


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """Leave nothing of the process group running; its leader gets time to write its result."""
    if child.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            child.wait(timeout=KILL_AFTER)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _start_pumps(
    child: subprocess.Popen[bytes], sinks: Mapping[str, IO[bytes]], listener: Listener
) -> list[threading.Thread]:
    sources = {"stdout": child.stdout, "stderr": child.stderr}
    pumps = [
        threading.Thread(target=_pump, args=(name, sources[name], sink, listener), daemon=True)
        for name, sink in sinks.items()
    ]
    for pump in pumps:
        pump.start()
    return pumps


def _pump(name: str, source: IO[bytes] | None, sink: IO[bytes], listener: Listener) -> None:
    """Copy a pipe to a file, and to the listener, until its last writer closes it."""
    assert source is not None
    with suppress(ValueError):  # the pipe was closed under us: the process group was killed
        for line in iter(lambda: source.readline(_MAX_LINE), b""):
            sink.write(line)
            if listener.line:
                listener.line(name, line.decode(errors="replace").rstrip("\r\n"))
