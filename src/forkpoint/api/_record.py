"""Recording one run of a script, or a module in this very process."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, overload

from forkpoint.api._options import Observer, Options
from forkpoint.api._runner import Asked, Runner, read_environments
from forkpoint.claims import Claim
from forkpoint.environments import EnvironmentCache
from forkpoint.errors import NothingRecorded, RecorderFailed, UsageError
from forkpoint.host import Job, JobResult, Workload, publish, require_free, stage

Script = str | PathLike[str] | Workload


@overload
def record(
    what: Script,
    out: str | PathLike[str],
    *,
    environment: str | Asked,
    options: Options | None = None,
    observer: Observer | None = None,
) -> JobResult: ...


@overload
def record(
    what: object, out: str | PathLike[str], *, options: Options | None = None
) -> AbstractContextManager[None]: ...


def record(
    what: Any,
    out: str | PathLike[str],
    *,
    environment: str | Asked | None = None,
    options: Options | None = None,
    observer: Observer | None = None,
) -> JobResult | AbstractContextManager[None]:
    """Record a script in an environment, or a module in this process, into the folder ``out``.

    With a script (a path or a `Workload`), run it in ``environment`` (``"torch==2.10.0"``,
    ``"python=/path/to/venv"``, a spec, an `Environment`) and return how that ended; a failed
    run is in `JobResult.failure`, what it left is readable. With an ``nn.Module``, return a
    context manager: each call of that module inside of the block is a step::

        with forkpoint.record(model, "rec-a"):
            model(batch)

    The recording appears at ``out`` when it is whole. Raises `UsageError` where something is
    in the way, `NothingRecorded` where the script called no module, `EnvironmentFailed`;
    `RecorderFailed` at the end of a block whose recording broke off.
    """
    options = options or Options()
    target = Path(out).absolute()
    if not isinstance(what, str | PathLike | Workload):
        require_free(target, force=options.force)
        return _record_here(what, target, options)
    if environment is None:
        raise UsageError(
            "A script is recorded in an environment, and none is named.",
            hint='For example: forkpoint.record("encode.py", "rec", environment="torch==2.10.0")',
        )
    with Claim.on(target):
        require_free(target, force=options.force)
        workload = as_workload(what)
        return _record_script(workload, target, environment, options, observer or Observer())


def as_workload(script: Script) -> Workload:
    """The workload that a caller named by a path; raises `UsageError` where there is none."""
    return script if isinstance(script, Workload) else Workload(script=Path(script))


def _record_script(
    workload: Workload,
    target: Path,
    environment: str | Asked,
    options: Options,
    observer: Observer,
) -> JobResult:
    named = f"{target.name}={environment}" if isinstance(environment, str) else environment
    asked = read_environments([named], count=1)
    with EnvironmentCache(max_bytes=options.max_cache) as cache:
        runner = Runner(options, observer, cache)
        (built,) = runner.build(asked)
        job = Job(
            workload=workload,
            recording=target,
            level=options.level,
            steps=options.steps,
            max_storage=options.max_storage,
            watch=options.watch,
        )
        logs = target.with_name(f"{target.name}.logs")
        result = runner.run(built, job, logs=logs, purpose="recording")
    if result.failure is None and not result.steps:
        raise nothing_recorded(workload, [result])
    return result


def nothing_recorded(workload: Workload, results: list[JobResult]) -> NothingRecorded:
    """The error for a script that ran to its end and called no module."""
    where = " and ".join(result.name for result in results)
    return NothingRecorded(
        f"{' '.join(workload.words())} ran to its end in {where}, and no step was seen: "
        "it called no torch.nn.Module in its own process.",
        hint="Steps are calls of modules, model(batch). Models in child processes, compiled "
        "ahead of time or exported to other runtimes are not seen. "
        f"The script's output is in {results[0].logs}.",
    )


@contextmanager
def _record_here(model: object, target: Path, options: Options) -> Iterator[None]:
    """Record a module of this process; torch is whatever the caller has imported."""
    session = importlib.import_module("forkpoint_worker.session")
    broken = importlib.import_module("forkpoint_worker.guard").RecordingBroken
    with Claim.on(target):
        require_free(target, force=options.force)
        staged = stage(target)
        try:
            with session.record_model(
                model,
                staged,
                level=options.level,
                max_storage=options.max_storage,
                watch=options.watch,
            ):
                yield
        except broken as error:
            raise RecorderFailed(
                f"The recording in {target} broke off: {error}",
                hint="The block itself ran to its end. Is the disk full? If not, please report it.",
            ) from error
        finally:
            publish(staged, target)
