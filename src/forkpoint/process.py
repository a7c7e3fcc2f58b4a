"""The one place where forkpoint starts other programs.

`run` starts a program in a process group of its own, hands its output on line by line
while keeping it in a file, and leaves nothing running behind: at the time limit, on Ctrl-C
and when a callback raises, the whole group is killed, children included.

Output is always drained, so that a program never waits for us: also when the disk is full
(its log is then cut) or a callback has raised. A grandchild that left the group and still
holds the pipe open is not waited for.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Generic, TypeVar

KILL_AFTER = 3.0
"""Seconds between asking a process group to end and killing it."""

CLEAN_UP = 1.0
"""Seconds that the rest of a group gets to end after its leader has ended."""

_POLL = 0.05
_SHORT = 0.01
T = TypeVar("T")
_stop: ContextVar[threading.Event | None] = ContextVar("stop", default=None)
"""Set in the threads of `in_parallel`: whether they are to end."""

_CHUNK = 64 * 1024
_MAX_LINE = 64 * 1024
"""A longer line reaches the listener in pieces, so memory stays bounded."""


@dataclass(frozen=True, slots=True)
class Completed:
    """How a program ended.

    ``returncode`` is negative for a signal, as `subprocess` has it; ``timed_out`` says that
    the time limit ended it. ``stdout`` and ``stderr`` are the files that hold its output;
    ``cut`` says that one of them is not whole, because the disk refused to take more.
    """

    argv: tuple[str, ...]
    returncode: int
    seconds: float
    timed_out: bool
    stdout: Path
    stderr: Path
    cut: bool = False

    def tail(self, lines: int = 20) -> str:
        """The end of what the program wrote to its standard error (at most 64 KiB of it)."""
        with self.stderr.open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - _MAX_LINE))
            text = stream.read().decode(errors="replace")
        return "\n".join(text.splitlines()[-lines:])


@dataclass(frozen=True, slots=True)
class Listener:
    """What to call while a program runs: ``line(stream, text)`` per line, ``tick()`` often.

    ``line`` is called from two other threads, one for each stream; ``tick`` from the caller's.
    Whatever they raise ends the program and comes out of `run`.
    """

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
        # unbuffered: a full disk shows itself at the write that hits it, not at close
        (logs / "stdout.log").open("wb", buffering=0) as out,
        (logs / "stderr.log").open("wb", buffering=0) as err,
        subprocess.Popen(  # noqa: S603 - argv is a list, no shell
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=None if env is None else dict(env),
            cwd=cwd,
            start_new_session=True,
        ) as child,
    ):
        pumps = (
            _Pump("stdout", child.stdout, out, listener.line),
            _Pump("stderr", child.stderr, err, listener.line),
        )
        try:
            for pump in pumps:
                pump.start()
            deadline = None if timeout is None else started + timeout
            timed_out = _wait(child, deadline, pumps, listener)
        finally:
            _end_group(child)
            _finish(pumps)
    _raise_first(pumps)
    return Completed(
        argv=tuple(argv),
        returncode=child.returncode,
        seconds=time.monotonic() - started,
        timed_out=timed_out,
        stdout=logs / "stdout.log",
        stderr=logs / "stderr.log",
        cut=any(pump.cut for pump in pumps),
    )


class Stopped(Exception):
    """A sibling task of `in_parallel` failed, or Ctrl-C came: this one was ended, too."""


def in_parallel(tasks: Sequence[Callable[[], T]]) -> list[T]:
    """Do tasks in threads of their own and return what they return, in order.

    The first error, or Ctrl-C, ends the programs that the other tasks run, and is raised
    when all of them are gone.
    """
    stop = threading.Event()
    with ThreadPoolExecutor(max_workers=max(1, len(tasks))) as pool:
        token = _stop.set(stop)
        futures = [pool.submit(copy_context().run, task) for task in tasks]
        _stop.reset(token)
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            if not all(future.done() for future in futures):
                stop.set()
    errors = [error for future in futures if (error := future.exception())]
    for error in sorted(errors, key=lambda error: isinstance(error, Stopped)):
        raise error
    return [future.result() for future in futures]


class Background(Generic[T]):
    """A task in a thread of its own; `end` ends the programs that it runs."""

    def __init__(self, task: Callable[[], T]) -> None:
        self._stop = threading.Event()
        self._found: list[T] = []
        self._error: BaseException | None = None
        token = _stop.set(self._stop)
        context = copy_context()
        _stop.reset(token)
        # a daemon: an interpreter that ends waits for no program that nobody ended
        self._thread = threading.Thread(
            target=context.run, args=(self._run, task), daemon=True, name="forkpoint-background"
        )
        self._thread.start()

    @property
    def ended(self) -> bool:
        """Whether the task has returned or raised."""
        return not self._thread.is_alive()

    def result(self) -> T:
        """Wait for the task's end and return, or raise, what it did."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._found[0]

    def end(self, *, patience: float = 0.0) -> None:
        """Wait so many seconds for the task's end, then end its programs; wait for that."""
        self._thread.join(patience)
        self._stop.set()
        self._thread.join()

    def _run(self, task: Callable[[], T]) -> None:
        try:
            self._found.append(task())
        except BaseException as error:  # noqa: BLE001 - raised again by `result`, in its thread
            self._error = error


def pause(seconds: float) -> None:
    """Wait a little; raise `Stopped` where the task of `in_parallel` that waits is to end."""
    stop = _stop.get()
    if stop is None:
        time.sleep(seconds)
    elif stop.wait(seconds):
        raise Stopped


class _Pump(threading.Thread):
    """Copies a pipe to a file, and line by line to a callback, until its last writer is gone.

    It never stops reading early: not when the file takes no more (``cut``), nor when the
    callback raises (``error``). After `stop` it takes what is there and ends.
    """

    def __init__(
        self,
        name: str,
        source: IO[bytes] | None,
        sink: IO[bytes],
        line: Callable[[str, str], None] | None,
    ) -> None:
        super().__init__(daemon=True, name=f"forkpoint-{name}")
        assert source is not None
        self.cut = False
        self.error: BaseException | None = None
        self._stream = name
        self._source = source.fileno()
        self._sink = sink
        self._line = line
        self._rest = bytearray()
        self._deadline: float | None = None

    def stop(self) -> None:
        """End soon, even if somebody keeps the pipe open."""
        self._deadline = time.monotonic() + KILL_AFTER

    def run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._source, selectors.EVENT_READ)
            while True:
                ready = selector.select(timeout=_POLL)
                if self._deadline is not None and (not ready or time.monotonic() > self._deadline):
                    break
                if ready:
                    chunk = os.read(self._source, _CHUNK)
                    if not chunk:
                        break
                    self._keep(chunk)
                    self._split(chunk)
        self._deliver(self._rest)

    def _keep(self, chunk: bytes) -> None:
        view = memoryview(chunk)
        try:
            while view and not self.cut:
                view = view[self._sink.write(view) :]
        except OSError:  # no space, or a quota: the caller learns of it from `cut`
            self.cut = True

    def _split(self, chunk: bytes) -> None:
        if self._line is None:
            return
        self._rest += chunk
        *lines, rest = self._rest.split(b"\n")
        while len(rest) >= _MAX_LINE:
            lines.append(rest[:_MAX_LINE])
            rest = rest[_MAX_LINE:]
        self._rest = rest
        for line in lines:
            self._deliver(line, always=True)

    def _deliver(self, line: bytearray, *, always: bool = False) -> None:
        if self._line is None or self.error is not None or not (line or always):
            return
        try:
            self._line(self._stream, line.decode(errors="replace").rstrip("\r"))
        except BaseException as error:  # noqa: BLE001 - raised again by `run`, in its thread
            self.error = error


def _wait(
    child: subprocess.Popen[bytes],
    deadline: float | None,
    pumps: Sequence[_Pump],
    listener: Listener,
) -> bool:
    """Wait for the program's end or a callback's error; True where the time limit came first."""
    while True:
        with suppress(subprocess.TimeoutExpired):
            child.wait(timeout=_POLL)
            return False
        if listener.tick:
            listener.tick()
        if any(pump.error for pump in pumps):
            return False
        stop = _stop.get()
        if stop is not None and stop.is_set():
            raise Stopped
        if deadline is not None and time.monotonic() > deadline:
            return True


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """Leave nothing of the process group running; its leader gets time to write its result."""
    try:
        if child.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                child.wait(timeout=KILL_AFTER)
    finally:  # a second Ctrl-C cuts the time to end short, and must not leave the group behind
        try:
            _ask_the_rest(child.pid)
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def _ask_the_rest(group: int) -> None:
    """Let what the leader has left behind end by itself: some of it cleans up after the leader.

    Python's resource tracker does: it removes shared memory and semaphores, and takes no SIGTERM.
    """
    deadline = time.monotonic() + CLEAN_UP
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGTERM)
        while time.monotonic() < deadline:
            os.killpg(group, 0)
            time.sleep(_SHORT)


def _finish(pumps: Sequence[_Pump]) -> None:
    """Let the pumps take what is left in the pipes; then nobody uses the pipes any more."""
    started = [pump for pump in pumps if pump.ident is not None]
    for pump in started:
        pump.stop()
    for pump in started:
        pump.join()


def _raise_first(pumps: Sequence[_Pump]) -> None:
    for pump in pumps:
        if pump.error is not None:
            raise pump.error
