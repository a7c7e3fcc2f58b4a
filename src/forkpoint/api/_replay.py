"""Replaying capsules in environments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from forkpoint.api._options import Observer, Options
from forkpoint.api._runner import Asked, Runner
from forkpoint.environments import Environment, EnvironmentCache
from forkpoint.host import Call, Replayed
from forkpoint.store import Capsule, read_capsule
from forkpoint_worker.libraries import refused


@dataclass(frozen=True, slots=True, kw_only=True)
class CapsuleReplay:
    """One capsule in one environment.

    ``equal``: whether all outputs have the recorded bits; null where the call did not run, and
    where the capsule names no outputs, so that nothing was compared (``reason`` says so).
    ``repeatable``: whether two runs gave the same bits. ``max_abs`` and ``max_ulp`` are the
    largest differences from what was recorded, null where nothing could be measured.
    """

    capsule: str
    op: str
    environment: str
    status: str
    reason: str | None
    equal: bool | None
    repeatable: bool
    max_abs: float | None = None
    max_ulp: int | None = None


def replay_capsules(
    capsules: Sequence[str | PathLike[str]],
    environments: Sequence[Asked],
    *,
    logs: Path,
    options: Options | None = None,
    observer: Observer | None = None,
) -> tuple[CapsuleReplay, ...]:
    """Run capsules in each environment, twice, and compare with what they recorded.

    Ops of torch's own libraries are run, others only with ``options.trust``: that they were not
    is the answer (status ``unsupported``). ``logs`` is a folder for the output of the processes.
    Raises `RecordingError` where a
    folder is no capsule, `EnvironmentFailed` where an environment cannot be had.
    """
    read = [read_capsule(Path(folder)) for folder in capsules]
    options, observer = options or Options(), observer or Observer()
    found: list[CapsuleReplay] = []
    with EnvironmentCache(max_bytes=options.max_cache) as cache:
        runner = Runner(options, observer, cache, limited=True)
        for environment in runner.build(environments):
            found += _in_one(environment, read, logs, runner)
    return tuple(found)


def _in_one(
    environment: Environment, capsules: Sequence[Capsule], logs: Path, runner: Runner
) -> list[CapsuleReplay]:
    trust = runner.options.trust
    calls = [
        Call(id=str(number), capsule=capsule.folder, repeat=2, against=("capsule",))
        for number, capsule in enumerate(capsules)
        if trust or not refused(capsule.op)
    ]
    name = environment.name
    answers = runner.replay(environment, calls, logs=logs / name, purpose="replaying")
    asked = ((capsule, str(number)) for number, capsule in enumerate(capsules))
    return [
        _judged(capsule, name, answers[number])
        if number in answers
        else _not_trusted(capsule, name)
        for capsule, number in asked
    ]


def _not_trusted(capsule: Capsule, name: str) -> CapsuleReplay:
    return CapsuleReplay(
        capsule=str(capsule.folder),
        op=capsule.op,
        environment=name,
        status="unsupported",
        reason=f"{capsule.obstacle()}; --trust runs it",
        equal=None,
        repeatable=False,
    )


def _judged(capsule: Capsule, name: str, answer: Replayed) -> CapsuleReplay:
    digests = {output.slot: output.digest for output in answer.outputs}
    ran = answer.status == "ran"
    reason = answer.reason
    if ran and not capsule.outputs:
        reason = "the capsule names no outputs: nothing was compared"
    equal = all(digests.get(slot) == digest for slot, digest in capsule.outputs.items())
    metrics = [one for output in answer.outputs for one in output.metrics if one]
    ulps = [one["max_ulp"] for one in metrics if one["max_ulp"] is not None]
    return CapsuleReplay(
        capsule=str(capsule.folder),
        op=capsule.op,
        environment=name,
        status=answer.status,
        reason=reason,
        equal=equal if ran and capsule.outputs else None,
        repeatable=answer.repeatable,
        max_abs=max((one["max_abs"] for one in metrics), default=None),
        max_ulp=max(ulps, default=None),
    )
