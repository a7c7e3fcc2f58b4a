"""Many small requests to one worker: it answers line by line, and a new one takes over
where it dies."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import msgspec

from forkpoint.environments import Environment
from forkpoint.errors import WorkerFailed
from forkpoint.host._job import Job
from forkpoint.host._result import JobResult, read_last_event
from forkpoint.host._run import Watcher, run_job

_MAX_LINE = 64 << 20


class Answer(Protocol):
    """One line of answer; it names the request."""

    @property
    def id(self) -> str:
        """The id of the request."""


A = TypeVar("A", bound=Answer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """A job of kind ``kind``, whose requests are lines of JSON, and where it runs.

    ``control`` is the folder for the logs, one below it for each process; ``timeout`` is in
    seconds for each process. The worker writes its answers to ``KINDed.jsonl``. ``ended`` is
    told the folder of each process that ended.
    """

    kind: Literal["replay", "unpack"]
    environment: Environment
    control: Path
    timeout: float | None = None
    watcher: Watcher | None = None
    ended: Callable[[Path], None] | None = None

    def ask(
        self, requests: Mapping[str, Mapping[str, Any]], answer: type[A]
    ) -> dict[str, A | JobResult]:
        """What came of each request by id, in order: an ``answer``, or the `JobResult` of the
        process that died in it. Raises `WorkerFailed` where the worker itself fails.
        """
        left = list(requests)
        done: dict[str, A | JobResult] = {}
        attempt = 0
        while left:
            attempt += 1
            folder = self.control / str(attempt)
            result, answers = self._attempt([requests[one] for one in left], folder, answer)
            done |= {one: answers[one] for one in left if one in answers}
            left = [one for one in left if one not in done]
            if not left:
                break
            if result.status not in ("crashed", "timed_out"):
                result.raise_for_failure()
                raise WorkerFailed(
                    f"{self.environment.name}: the worker left {len(left)} requests unanswered.",
                    hint=f"Its output is in {folder}.",
                )
            died = _died_in(result, left)
            done[died] = result
            left.remove(died)
        return {one: done[one] for one in requests}

    def _attempt(
        self, requests: Sequence[Mapping[str, Any]], folder: Path, answer: type[A]
    ) -> tuple[JobResult, dict[str, A]]:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        asked = folder / "calls.jsonl"
        with asked.open("wb") as stream:
            for request in requests:
                stream.write(msgspec.json.encode(request) + b"\n")
        result = run_job(
            self.environment,
            Job(kind=self.kind, calls=asked),
            control=folder,
            timeout=self.timeout,
            watcher=self.watcher,
        )
        if self.ended is not None:
            self.ended(folder)
        ids = {str(request["id"]) for request in requests}
        return result, read_answers(folder / f"{self.kind}ed.jsonl", ids, answer)


def read_answers(path: Path, asked: set[str], answer: type[A]) -> dict[str, A]:
    """What a process wrote until it ended, perhaps in the middle of a line."""
    found: dict[str, A] = {}
    if not path.exists():
        return found
    with path.open("rb") as stream:
        while line := stream.readline(_MAX_LINE):
            if not line.endswith(b"\n"):
                break  # the process died while it wrote this one
            one = _decoded(line, path, answer)
            if one.id not in asked:
                raise WorkerFailed(
                    f"The worker's answers in {path} name a call that was not asked for.",
                    hint="Something else wrote into that folder. Run it again.",
                )
            found[one.id] = one
    return found


def first_line(result: JobResult) -> str:
    """How a process died, in one line."""
    text = str(result.failure) if result.failure else "the process died"
    return text.splitlines()[0]


def _decoded(line: bytes, path: Path, answer: type[A]) -> A:
    try:
        return msgspec.json.decode(line, type=answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise WorkerFailed(
            f"The worker's answers in {path} cannot be read: {error}.",
            hint="Was the disk full? Run it again.",
        ) from error


def _died_in(result: JobResult, left: Sequence[str]) -> str:
    """The request under way when the process died; the first one where it left no word."""
    last = read_last_event(result.logs / "last_event")
    named = last.op if last is not None else ""
    return named if named in left else left[0]
