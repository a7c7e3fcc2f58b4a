"""Reading the worker's answer: it comes from a foreign process, so it is checked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from forkpoint.errors import ForkpointError, WorkerFailed
from forkpoint.untrusted import open_file, read_json
from forkpoint_worker import PROTOCOL

Status = Literal[
    "completed", "exited", "raised", "stopped", "interrupted", "failed", "crashed", "timed_out"
]
_NUMBER = re.compile(r"-?[0-9]{1,18}")
MAX_RESULT = 16 * 1024 * 1024
MAX_LAST_EVENT = 64 * 1024


class Raised(msgspec.Struct, frozen=True):
    """An exception as the worker reports it."""

    type: str
    message: str
    traceback: str


class Answer(msgspec.Struct, frozen=True):
    """``result.json``; times in seconds, ``peak_rss`` in bytes."""

    protocol: int
    status: Literal["completed", "exited", "raised", "stopped", "interrupted", "failed"]
    exit_code: int | None = None
    error: Raised | None = None
    steps: int = 0
    seconds: float = 0.0
    peak_rss: int | None = None
    storage_full: bool = False
    refused: int = 0
    fingerprint: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class LastEvent:
    """The last event that a worker began; ``step`` is -1 before the first."""

    step: int
    module: str
    op: str

    def __str__(self) -> str:
        """In words: ``step 3, module encoder.layer.0, aten.addmm.default``."""
        place = f"step {self.step}" if self.step >= 0 else "before the first step"
        module = self.module and f"module {self.module}"
        return ", ".join(filter(None, (place, module, self.op)))


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResult:
    """How one run ended; ``failure`` is the error to raise or to show, or null:
    a `WorkerFailed`, or `StorageFull`.

    ``alone`` says whether a script that failed ended well when it was run once more with nothing
    recorded; null where that was not tried. Then the failure is an `RecorderFailed`.

    ``refused`` counts tensors that the disk did not take, ``log_cut`` says that it did not take
    all that the script printed. ``recording`` is where the events are, also after a failure;
    ``logs`` is the folder that holds the script's output.
    """

    name: str
    status: Status
    exit_code: int
    steps: int
    seconds: float
    logs: Path
    recording: Path | None = None
    peak_rss: int | None = None
    storage_full: bool = False
    refused: int = 0
    log_cut: bool = False
    fingerprint: dict[str, str]
    failure: ForkpointError | None = None
    alone: bool | None = None

    def raise_for_failure(self) -> JobResult:
        """Return this result, or raise the failure that it holds."""
        if self.failure is not None:
            raise self.failure
        return self


def read_answer(path: Path) -> Answer | None:
    """The worker's answer, or null where it left none; raises `WorkerFailed` for rubbish."""
    hint = "Was the disk full, or does the script write into that folder? Run it again."
    try:
        answer = read_json(path, Answer, most=MAX_RESULT, refusal=WorkerFailed, hint=hint)
    except FileNotFoundError:
        return None
    if answer.protocol != PROTOCOL:
        raise WorkerFailed(
            f"The worker's answer in {path} speaks protocol {answer.protocol}, not {PROTOCOL}.",
            hint="Reinstall forkpoint: its two packages are not of one version.",
        )
    return answer


def read_last_event(path: Path) -> LastEvent | None:
    """The last event begun, or null where the worker has not come so far."""
    try:
        with open_file(path) as stream:
            data = stream.read(MAX_LAST_EVENT)
    except (OSError, ForkpointError):
        return None
    fields = data.partition(b"\0")[0].decode(errors="replace").split("\t")
    if len(fields) != 3 or not _NUMBER.fullmatch(fields[0]):
        return None
    return LastEvent(int(fields[0]), fields[1], fields[2])
