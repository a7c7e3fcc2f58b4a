"""How a run ended, in words: the failure that a `JobResult` carries."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from forkpoint.errors import (
    ForkpointError,
    RecorderFailed,
    ScriptFailed,
    StorageFull,
    WorkerCrashed,
    WorkerFailed,
    WorkerTimeout,
)
from forkpoint.host._job import Control
from forkpoint.host._result import Answer, JobResult, Status, read_last_event
from forkpoint.host._traceback import trim
from forkpoint.process import Completed
from forkpoint.store import Recording

TAIL_LINES = 20
FAULT_LINES = 24
_CRASH_HINTS = {
    "SIGKILL": (
        "Nobody here asked for that: the machine most likely ran out of memory. "
        "Try a smaller batch, or fewer steps of it (--steps 0:10)."
    ),
    "SIGSEGV": (
        "Native code touched memory that it must not. Run the script alone in that "
        "environment: if it dies there too, the fault is not in the recording."
    ),
    "SIGILL": "The wheel was built for a CPU with other instructions: try another torch build.",
    "SIGXFSZ": "A file grew past the size limit of this shell (ulimit -f), or the disk is full.",
}
_FULL_DISK = (
    "disk I/O error",  # what SQLite says of most failed writes
    "database or disk is full",
    "No space left on device",
    "File too large",
    "Disk quota exceeded",
)
_LEFT = (
    "Let the script reach its end, or leave by sys.exit: os._exit ends the process before the "
    "recording is closed."
)


@dataclass(frozen=True, slots=True)
class Run:
    """One ended run, as the functions below look at it."""

    name: str
    control: Control
    completed: Completed
    timeout: float | None
    recording: Path | None


def classify(run: Run, answer: Answer | None) -> tuple[Status, ForkpointError | None]:
    """The status of a run, and its failure where it has one."""
    if run.completed.timed_out:
        return "timed_out", _timed_out(run)
    if answer is None:
        return "crashed", _crashed(run)
    if answer.status == "exited" and not answer.exit_code:
        return "exited", None
    describe = _BY_STATUS.get(answer.status)
    return answer.status, describe(run, answer) if describe else None


def beside_alone(result: JobResult, *, well: bool) -> JobResult:
    """A failed run whose script was then run alone, and ended ``well`` or not."""
    failure = result.failure
    if not well or failure is None:
        return replace(result, alone=well)
    first, _, rest = failure.message.partition("\n")
    ours = RecorderFailed(
        _paragraphs(
            f"{first.rstrip('.:')}; it ends well when it is run alone: the recorder broke it.", rest
        ),
        hint=_paragraphs(
            "This is a fault of forkpoint, not of the script: please report it. Recording less "
            "closely may go well: --level module in place of --level op.",
            f"{kept(result.recording)} Its output is in {result.logs}.",
        ),
    )
    return replace(result, alone=well, failure=ours)


def _timed_out(run: Run) -> WorkerTimeout:
    return WorkerTimeout(
        f"{run.name}: the script did not end within {run.timeout:g} seconds and was stopped "
        f"({_place(run)}).",
        hint=_paragraphs("Give it more time with --timeout, or fewer steps.", _aftermath(run)),
    )


def _raised(run: Run, answer: Answer) -> ScriptFailed:
    if answer.error is None:
        return ScriptFailed(f"{run.name}: the script raised an exception.", hint=_aftermath(run))
    error = answer.error
    return ScriptFailed(
        _paragraphs(
            f"{run.name}: the script raised {error.type}: {error.message}".rstrip(": "),
            _indent(trim(error.traceback)),
        ),
        hint=_paragraphs(
            "The script, not forkpoint, ended the run: make it pass in that environment first.",
            _aftermath(run),
        ),
    )


def _exited(run: Run, answer: Answer) -> ScriptFailed:
    return ScriptFailed(
        _paragraphs(
            f"{run.name}: the script ended itself with exit status {answer.exit_code}.",
            _stderr(run),
        ),
        hint=_paragraphs(
            "The script, not forkpoint, ended the run. Does it miss arguments? "
            "They go behind --, as in: encode.py -- --batch-size 32",
            _aftermath(run),
        ),
    )


def _interrupted(run: Run, _answer: Answer) -> WorkerCrashed:
    return WorkerCrashed(
        f"{run.name}: the script was told to end ({_place(run)}).",
        hint=_paragraphs("Somebody sent it SIGTERM or SIGINT. Run it again.", _aftermath(run)),
    )


def _worker_failed(run: Run, answer: Answer) -> ForkpointError:
    error = answer.error
    if error and _names_a_full_disk(error.message):
        return _disk_full(run, error.message)
    text = f"{error.type}: {error.message}" if error else "no reason given"
    return WorkerFailed(
        _paragraphs(
            f"{run.name}: the recorder itself failed ({_place(run)}): {text}",
            _indent(error.traceback) if error else "",
        ),
        hint=_paragraphs(
            "This is a fault of forkpoint or of its environment, not of the script. "
            "'forkpoint doctor' checks the usual causes; please report what it does not find.",
            _aftermath(run),
        ),
    )


def _disk_full(run: Run, reason: str) -> StorageFull:
    return StorageFull(
        f"{run.name}: the disk took no more of the recording ({reason}); {_place(run)}.",
        hint=_paragraphs(
            "Free some space, name a folder on another disk with --out, record fewer steps with "
            "--steps, or keep less with --max-storage.",
            _aftermath(run),
        ),
    )


def _names_a_full_disk(text: str) -> bool:
    return any(words in text for words in _FULL_DISK)


def _crashed(run: Run) -> ForkpointError:
    last_words = run.completed.tail(1).strip()
    if _names_a_full_disk(last_words):
        return _disk_full(run, last_words)
    if run.completed.cut:
        return _disk_full(run, "not even the script's output could be kept")
    code = run.completed.returncode
    cause = (
        f"was killed by {signal_name(-code)}"
        if code < 0
        else f"ended with status {code} before the recorder did (os._exit, or native code)"
    )
    return WorkerCrashed(
        _paragraphs(
            f"{run.name}: the script's process {cause}; {_place(run)}.",
            _fault(run.control),
            _stderr(run),
        ),
        hint=_paragraphs(
            _CRASH_HINTS.get(signal_name(-code), "") if code < 0 else _LEFT, _aftermath(run)
        ),
    )


_BY_STATUS: dict[str, Callable[[Run, Answer], ForkpointError]] = {
    "raised": _raised,
    "exited": _exited,
    "interrupted": _interrupted,
    "failed": _worker_failed,
}


def signal_name(number: int) -> str:
    """``SIGSEGV`` for 11; ``signal 77`` for a number without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _place(run: Run) -> str:
    event = read_last_event(run.control.last_event)
    return "before the first recorded event" if event is None else f"last event: {event}"


def _fault(control: Control) -> str:
    """What `faulthandler` saw, without the worker's own frames."""
    if not control.fault_log.is_file():
        return ""
    lines = trim(control.fault_log.read_text(errors="replace")).strip().splitlines()
    if len(lines) > FAULT_LINES:
        lines = [*lines[:FAULT_LINES], f"... {len(lines) - FAULT_LINES} more lines"]
    return _indent("\n".join(lines))


def _stderr(run: Run) -> str:
    tail = run.completed.tail(TAIL_LINES).strip("\n")
    return _paragraphs("The end of its standard error:", _indent(tail)) if tail.strip() else ""


def _aftermath(run: Run) -> str:
    """What was kept, and where the logs are."""
    return f"{kept(run.recording)} Its output is in {run.control.folder}."


def kept(recording: Path | None) -> str:
    """One sentence on what a run that failed has left behind."""
    if recording is None or not recording.exists():
        return "Nothing was recorded."
    try:
        with Recording.open(recording) as opened:
            steps = len(opened.steps())
    except ForkpointError as error:
        return f"What was recorded cannot be read ({error.message})"
    return f"{steps} step{'' if steps == 1 else 's'} recorded until then are kept in {recording}."


def _indent(text: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in text.strip("\n").splitlines())


def _paragraphs(*parts: str) -> str:
    return "\n".join(part for part in parts if part)
