"""Replaying op calls in environments: one process for all, and a new one after a crash."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from forkpoint.environments import Environment
from forkpoint.host._answers import Questions, first_line
from forkpoint.host._calls import Call, Replayed
from forkpoint.host._run import Watcher


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
    questions = Questions(
        kind="replay", environment=environment, control=control, timeout=timeout, watcher=watcher
    )
    return {
        one: answer
        if isinstance(answer, Replayed)
        else Replayed(id=one, status="crashed", reason=first_line(answer))
        for one, answer in questions.ask(requests, Replayed).items()
    }


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
