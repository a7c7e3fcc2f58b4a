"""Replaying op calls in environments: one process for all, and a new one after a crash."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from forkpoint.environments import Environment
from forkpoint.host._answers import Questions, first_line
from forkpoint.host._calls import Call, Replayed
from forkpoint.host._result import JobResult
from forkpoint.host._run import Watcher
from forkpoint.host._verbose import library_kernels

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
) -> dict[str, Replayed]:
    """Run op calls in an environment, in this order; what came of each, by id.

    ``control`` is the folder for the logs, one below it for each process. A call in which the
    process dies, or which does not end within ``timeout`` seconds of its process, is
    ``crashed``, and the calls behind it run in a new process. Raises `WorkerFailed` where the
    worker itself fails, `EnvironmentFailed` where the interpreter does not start.
    """
    requests = {call.id: _as_json(call) for call in calls}
    if len(requests) != len(calls):
        raise ValueError("calls must have ids of their own")
    kernels: dict[str, tuple[str, ...]] = {}
    questions = Questions(
        kind="replay",
        environment=replace(environment, variables={**_PATIENT, **environment.variables}),
        control=control,
        timeout=timeout,
        watcher=watcher,
        ended=lambda folder: kernels.update(library_kernels(folder / "stdout.log")),
    )
    answers = questions.ask(requests, Replayed)
    return {one: _replayed(one, answer, kernels.get(one, ())) for one, answer in answers.items()}


def _replayed(one: str, answer: Replayed | JobResult, kernels: tuple[str, ...]) -> Replayed:
    """The answer, with the kernels that libraries named in the log where it names none."""
    if not isinstance(answer, Replayed):
        return Replayed(id=one, status="crashed", reason=first_line(answer))
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
