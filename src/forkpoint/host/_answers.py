"""Many small requests to one worker: it answers line by line, and a new one takes over
where it dies."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import msgspec

from forkpoint.environments import Environment
from forkpoint.errors import WorkerFailed
from forkpoint.host._job import Job
from forkpoint.host._result import JobResult, read_last_event
from forkpoint.host._run import Watcher, run_job
from forkpoint.untrusted import decode_json, open_file

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
    job: Job | None = None

    def ask(
        self, requests: Mapping[str, Mapping[str, Any]], answer: type[A]
    ) -> dict[str, A | JobResult]:
        """What came of each request by id, in order: an ``answer``, or the `JobResult` of the
        process that died in it. Raises `WorkerFailed` where the worker itself fails.
        """
        attempts = itertools.count(1)

        def attempt(left: Sequence[Mapping[str, Any]]) -> tuple[JobResult, dict[str, A]]:
            return self._attempt(left, self.control / str(next(attempts)), answer)

        return settle(requests, attempt)

    def _attempt(
        self, requests: Sequence[Mapping[str, Any]], folder: Path, answer: type[A]
    ) -> tuple[JobResult, dict[str, A]]:
        asked = fresh_calls(folder)
        add_calls(asked, requests)
        result = run_job(
            self.environment,
            replace(self.job or Job(), kind=self.kind, calls=asked),
            control=folder,
            timeout=self.timeout,
            watcher=self.watcher,
        )
        if self.ended is not None:
            self.ended(folder)
        ids = {str(request["id"]) for request in requests}
        return result, read_answers(folder / f"{self.kind}ed.jsonl", ids, answer)


Attempt = Callable[[Sequence[Mapping[str, Any]]], tuple[JobResult | None, dict[str, A]]]
"""Asks a worker; gives what it answered, and how its process ended where one is missing."""


def settle(
    requests: Mapping[str, Mapping[str, Any]], attempt: Attempt[A]
) -> dict[str, A | JobResult]:
    """Ask until every request has an answer, or is the one in which a process died."""
    left = list(requests)
    done: dict[str, A | JobResult] = {}
    while left:
        result, answers = attempt([requests[one] for one in left])
        done |= {one: answers[one] for one in left if one in answers}
        left = [one for one in left if one not in done]
        if not left or result is None:
            break
        if result.status not in ("crashed", "timed_out"):
            result.raise_for_failure()
            raise WorkerFailed(
                f"{result.name}: the worker left {len(left)} requests unanswered.",
                hint=f"Its output is in {result.logs}.",
            )
        died = _died_in(result, left)
        done[died] = result
        left.remove(died)
    return {one: done[one] for one in requests}


def fresh_calls(folder: Path) -> Path:
    """An empty file of requests, in a folder that holds nothing else."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    asked = folder / "calls.jsonl"
    asked.touch()
    return asked


def add_calls(path: Path, requests: Sequence[Mapping[str, Any]]) -> None:
    """Put requests behind those that are in the file."""
    with path.open("ab") as stream:
        for request in requests:
            stream.write(msgspec.json.encode(request) + b"\n")


def read_answers(path: Path, asked: set[str], answer: type[A]) -> dict[str, A]:
    """What a process wrote until it ended, perhaps in the middle of a line."""
    return Answers(path).more(asked, answer)


@dataclass(slots=True)
class Answers:
    """The file of a worker's answers, read as it grows."""

    path: Path
    _read: int = 0

    def more(self, asked: set[str], answer: type[A]) -> dict[str, A]:
        """The answers written since the last look, by id; all must have been asked for."""
        found: dict[str, A] = {}
        if not self.path.exists():
            return found
        with open_file(self.path, refusal=WorkerFailed) as stream:
            stream.seek(self._read)
            while line := stream.readline(_MAX_LINE):
                if len(line) == _MAX_LINE:
                    raise WorkerFailed(
                        f"The worker's answers in {self.path} hold a line without an end.",
                        hint="Something else wrote into that folder. Run it again.",
                    )
                if not line.endswith(b"\n"):
                    break  # half of a line: the process writes it now, or died over it
                self._read += len(line)
                one = _decoded(line, self.path, answer)
                if one.id not in asked:
                    raise WorkerFailed(
                        f"The worker's answers in {self.path} name a call that was not asked for.",
                        hint="Something else wrote into that folder. Run it again.",
                    )
                found[one.id] = one
        return found


def first_line(result: JobResult) -> str:
    """How a process died, in one line."""
    text = str(result.failure) if result.failure else "the process died"
    return text.splitlines()[0]


def _decoded(line: bytes, path: Path, answer: type[A]) -> A:
    hint = "Was the disk full? Run it again."
    return decode_json(line, answer, path=path, refusal=WorkerFailed, hint=hint)


def _died_in(result: JobResult, left: Sequence[str]) -> str:
    """The request under way when the process died; the first one where it left no word."""
    last = read_last_event(result.logs / "last_event")
    named = last.op if last is not None else ""
    return named if named in left else left[0]
