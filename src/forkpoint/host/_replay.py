"""Replaying op calls in an environment: one process for all, and a new one after a crash."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from forkpoint.environments import Environment
from forkpoint.errors import WorkerFailed
from forkpoint.host._calls import Call, Replayed
from forkpoint.host._job import Job
from forkpoint.host._result import JobResult, read_last_event
from forkpoint.host._run import Watcher, run_job
from forkpoint.host._verbose import library_kernels

_MAX_LINE = 64 << 20


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
    ids = [call.id for call in calls]
    if len(set(ids)) != len(ids):
        raise ValueError("calls must have ids of their own")
    left = list(calls)
    done: dict[str, Replayed] = {}
    attempt = 0
    while left:
        attempt += 1
        folder = control / str(attempt)
        result, answers = _attempt(environment, left, folder, timeout, watcher)
        done |= answers
        left = [call for call in left if call.id not in done]
        if not left:
            break
        if result.status not in ("crashed", "timed_out"):
            result.raise_for_failure()
            raise WorkerFailed(
                f"{environment.name}: the worker left {len(left)} op calls unanswered.",
                hint=f"Its output is in {folder}.",
            )
        died = _died_in(result, left)
        done[died] = Replayed(id=died, status="crashed", reason=_first_line(result))
        left = [call for call in left if call.id != died]
    return {one: done[one] for one in ids}


def _attempt(
    environment: Environment,
    calls: Sequence[Call],
    folder: Path,
    timeout: float | None,
    watcher: Watcher | None,
) -> tuple[JobResult, dict[str, Replayed]]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    asked = folder / "calls.jsonl"
    with asked.open("wb") as stream:
        for call in calls:
            stream.write(msgspec.json.encode(_as_json(call)) + b"\n")
    job = Job(kind="replay", calls=asked)
    result = run_job(environment, job, control=folder, timeout=timeout, watcher=watcher)
    answers = _answers(folder / "replayed.jsonl", {call.id for call in calls})
    for name, names in library_kernels(folder / "stdout.log").items():
        if name in answers and not answers[name].kernels:
            answers[name] = replace(answers[name], kernels=names)
    return result, answers


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


def _answers(path: Path, asked: set[str]) -> dict[str, Replayed]:
    """What a process wrote until it ended, perhaps in the middle of a line."""
    found: dict[str, Replayed] = {}
    if not path.exists():
        return found
    with path.open("rb") as stream:
        while line := stream.readline(_MAX_LINE):
            if not line.endswith(b"\n"):
                break  # the process died while it wrote this one
            answer = _decoded(line, path)
            if answer.id not in asked:
                raise WorkerFailed(
                    f"The worker's answers in {path} name a call that was not asked for.",
                    hint="Something else wrote into that folder. Run it again.",
                )
            found[answer.id] = answer
    return found


def _decoded(line: bytes, path: Path) -> Replayed:
    try:
        return msgspec.json.decode(line, type=Replayed)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise WorkerFailed(
            f"The worker's answers in {path} cannot be read: {error}.",
            hint="Was the disk full? Run it again.",
        ) from error


def _died_in(result: JobResult, left: Sequence[Call]) -> str:
    """The call that was under way when the process died; the first one where it left no word."""
    last = read_last_event(result.logs / "last_event")
    named = last.op if last is not None else ""
    return named if any(call.id == named for call in left) else left[0].id


def _first_line(result: JobResult) -> str:
    text = str(result.failure) if result.failure else "the process died"
    return text.splitlines()[0]
