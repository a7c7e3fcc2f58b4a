"""Replaying op calls in environments: one process for all, and a new one after a crash."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from forkpoint.environments import Environment
from forkpoint.host._answers import (
    Answers,
    Questions,
    add_calls,
    first_line,
    fresh_calls,
    settle,
)
from forkpoint.host._calls import OWN_OPS, Call, Replayed, Rules
from forkpoint.host._job import CAREFUL, Job
from forkpoint.host._result import JobResult
from forkpoint.host._run import Watcher, run_job
from forkpoint.host._verbose import library_kernels
from forkpoint.process import KILL_AFTER, Background, pause

_POLL = 0.01
_OVERTIME = "overtime.log"  # what the worker leaves where a call passes its time

_PATIENT = {"OMP_WAIT_POLICY": "PASSIVE"}
"""Threads that wait give up the processor. Both sides are replayed at once, and the threads of one
would else spin while those of the other have work: small calls took ten times as long. It moves
no work from one thread to another, so that no bit depends on it."""


def replay(
    environment: Environment,
    calls: Sequence[Call],
    *,
    control: Path,
    timeout: float | None = None,
    watcher: Watcher | None = None,
    rules: Rules = OWN_OPS,
) -> dict[str, Replayed]:
    """Run op calls in an environment, in this order; what came of each, by id.

    ``control`` is the folder for the logs, one below it for each process. A call in which the
    process dies, or which does not end within ``timeout`` seconds of its process, is
    ``crashed``, and the calls behind it run in a new process. Raises `WorkerFailed` where the
    worker itself fails, `EnvironmentFailed` where the interpreter does not start.
    """
    requests = _requests(calls)
    kernels: dict[str, tuple[str, ...]] = {}
    questions = Questions(
        kind="replay",
        environment=replace(environment, variables={**_PATIENT, **environment.variables}),
        control=control,
        timeout=timeout,
        watcher=watcher,
        ended=lambda folder: kernels.update(library_kernels(folder / "stdout.log")),
        job=_job(rules),
    )
    answers = questions.ask(requests, Replayed)
    return {one: _replayed(one, answer, kernels.get(one, ())) for one, answer in answers.items()}


def _job(rules: Rules) -> Job:
    return Job(kind="replay", trust=rules.trust, limits=CAREFUL if rules.limited else None)


def _requests(calls: Sequence[Call]) -> dict[str, dict[str, Any]]:
    requests = {call.id: _as_json(call) for call in calls}
    if len(requests) != len(calls):
        raise ValueError("calls must have ids of their own")
    return requests


@dataclass(slots=True)
class Replayer:
    """Replays op calls in one process that stays, ready for more, until `close`.

    For calls that are asked for in many turns: starting a process and importing torch takes
    seconds. ``control`` is the folder for the logs, one below it for each process. Kernels that
    libraries name in the log are not read: `replay` does that.
    """

    environment: Environment
    control: Path
    watcher: Watcher | None = None
    rules: Rules = OWN_OPS
    _started: int = 0
    _live: _Live | None = None

    def ask(self, calls: Sequence[Call]) -> dict[str, Replayed]:
        """As `replay`, without a time limit; starts a process where none is there."""
        answers = settle(_requests(calls), self._attempt)
        return {one: _replayed(one, answer, ()) for one, answer in answers.items()}

    def close(self) -> None:
        """End the process, if there is one; another `ask` starts a new one."""
        live, self._live = self._live, None
        if live is not None:
            live.close()

    def _attempt(
        self, requests: Sequence[Mapping[str, Any]]
    ) -> tuple[JobResult | None, dict[str, Replayed]]:
        if self._live is None or self._live.process.ended:
            self._started += 1
            folder = self.control / str(self._started)
            job = _job(self.rules)
            self._live = _Live.start(self.environment, job, folder, self.watcher)
        result, answers = self._live.ask(requests)
        if result is not None:
            self._live = None
        return result, answers


@dataclass(slots=True)
class _Live:
    """One process that answers until it is told to end."""

    calls: Path
    answers: Answers
    process: Background[JobResult]
    idle: bool = True

    @classmethod
    def start(
        cls, environment: Environment, job: Job, folder: Path, watcher: Watcher | None
    ) -> _Live:
        calls = fresh_calls(folder)
        job = replace(job, calls=calls, live=True)
        process = Background(partial(run_job, environment, job, control=folder, watcher=watcher))
        return cls(calls, Answers(folder / "replayed.jsonl"), process)

    def ask(
        self, requests: Sequence[Mapping[str, Any]]
    ) -> tuple[JobResult | None, dict[str, Replayed]]:
        """What was answered; and how the process ended, where it did before the last answer."""
        self.idle = False
        add_calls(self.calls, requests)
        asked = {str(request["id"]) for request in requests}
        found: dict[str, Replayed] = {}
        while True:
            ended = self.process.ended  # looked at first: what is read then is all there is
            found |= self.answers.more(asked, Replayed)
            if len(found) == len(asked):
                self.idle = True
                return None, found
            if ended:
                return self.process.result(), found
            pause(_POLL)

    def close(self) -> None:
        """Let an idle process end by itself; one that is busy nobody waits for any more."""
        if self.idle:
            with self.calls.open("ab") as stream:
                stream.write(b"\n")
        self.process.end(patience=KILL_AFTER if self.idle else 0.0)


def _replayed(one: str, answer: Replayed | JobResult, kernels: tuple[str, ...]) -> Replayed:
    """The answer, with the kernels that libraries named in the log where it names none."""
    if not isinstance(answer, Replayed):
        late = (answer.logs / _OVERTIME).is_file()
        reason = "it did not end in the time that its inputs are worth" if late else ""
        return Replayed(id=one, status="crashed", reason=reason or first_line(answer))
    return answer if answer.kernels else replace(answer, kernels=kernels)


def _as_json(call: Call) -> dict[str, Any]:
    """A call as the protocol spells it."""
    return {
        "id": call.id,
        "capsule": _text(call.capsule),
        "call": call.call,
        "repeat": call.repeat,
        "state": _text(call.state) if isinstance(call.state, Path) else call.state,
        "as": call.as_,
        "device": call.device,
        "keep": _text(call.keep),
        "against": [one if isinstance(one, str) else _text(one) for one in call.against],
        "rows": call.rows,
        "profile": call.profile,
    }


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())
