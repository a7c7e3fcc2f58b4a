"""Starting one worker, watching it, and saying how it ended."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from forkpoint.environments import Environment
from forkpoint.errors import EnvironmentFailed
from forkpoint.host._failures import Run, beside_alone, classify, kept
from forkpoint.host._job import Control, Job
from forkpoint.host._place import publish, stage, unwritable
from forkpoint.host._result import Answer, JobResult, LastEvent, read_answer, read_last_event
from forkpoint.host._temporary import temporary_files
from forkpoint.process import Completed, Listener, run
from forkpoint_worker import BOOT


@dataclass(frozen=True, slots=True, kw_only=True)
class Watcher:
    """What to call while a script runs.

    ``line(stream, text)`` gets each line that the script prints, ``event(last)`` each change
    of the last event begun (looked at about twenty times a second).
    """

    line: Callable[[str, str], None] | None = None
    event: Callable[[LastEvent], None] | None = None


def run_job(
    environment: Environment,
    job: Job,
    *,
    control: Path,
    timeout: float | None = None,
    watcher: Watcher | None = None,
) -> JobResult:
    """Run one job in one environment, in a process of its own, and wait for its end.

    ``control`` is the folder for the job, the answer and the logs; ``timeout`` is in seconds.
    A script that fails is a value (`JobResult.failure`); it is run once more, alone, to see whether
    it fails only while it is recorded. Raises `EnvironmentFailed` where the
    interpreter cannot be started, `WorkerFailed` where the worker's answer is rubbish.
    """
    folder = control.absolute()
    try:
        result = _run_staged(environment, job, Control(folder), timeout, watcher)
        if not _may_be_ours(job, result):
            return result
        bare = replace(_ALONE, workload=job.workload)
        alone = _run_staged(environment, bare, Control(folder / "alone"), timeout, None)
        return beside_alone(result, well=alone.failure is None)
    except KeyboardInterrupt as stop:
        if job.recording is not None:
            stop.add_note(kept(job.recording))
        raise


_ALONE = Job(kind="alone")


def _may_be_ours(job: Job, result: JobResult) -> bool:
    """Whether a script that failed may have done so because it was recorded.

    What replaces its numbers, or ends it early, may well break it, and is not looked into.
    """
    if job.kind != "record" or job.stop_after is not None or job.substitute or job.swap:
        return False
    signalled = result.exit_code < 0 and result.exit_code != -signal.SIGKILL
    by_itself = result.status in ("raised", "exited") or (result.status == "crashed" and signalled)
    return result.failure is not None and by_itself


def _run_staged(
    environment: Environment,
    job: Job,
    folder: Control,
    timeout: float | None,
    watcher: Watcher | None,
) -> JobResult:
    """Let the worker write beside the place asked for, and move what it wrote there."""
    staged = stage(job.recording) if job.recording else None
    document = replace(job, recording=staged).document(
        environment.name, environment.settings, environment.variables
    )
    try:
        _prepare(folder, document)
        with temporary_files(environment, job, folder) as places:
            start = _Start(folder, {**places, **environment.variables}, timeout)
            completed = _start(environment, job, start, watcher or Watcher())
    finally:
        folder.tidy()
        if staged and job.recording:
            publish(staged, job.recording)
    answer = read_answer(folder.result)
    _require_a_start(environment, folder, completed, answer)
    return _result(Run(environment.name, folder, completed, timeout, job.recording), answer)


def _prepare(folder: Control, document: Mapping[str, Any]) -> None:
    try:
        folder.prepare(document)
    except OSError as error:
        raise unwritable("The logs of a run", folder.folder, error) from error


def _result(ended: Run, answer: Answer | None) -> JobResult:
    status, failure = classify(ended, answer)
    last = read_last_event(ended.control.last_event)
    return JobResult(
        name=ended.name,
        status=status,
        exit_code=_exit_code(ended.completed, answer),
        steps=answer.steps if answer else (last.step + 1 if last else 0),
        seconds=answer.seconds if answer else ended.completed.seconds,
        logs=ended.control.folder,
        recording=ended.recording,
        peak_rss=answer.peak_rss if answer else None,
        storage_full=answer.storage_full if answer else False,
        refused=answer.refused if answer else 0,
        log_cut=ended.completed.cut,
        fingerprint=answer.fingerprint if answer else {},
        failure=failure,
    )


@dataclass(frozen=True, slots=True)
class _Start:
    """The control folder of a process, its own variables, and its time limit in seconds."""

    folder: Control
    variables: Mapping[str, str]
    timeout: float | None


def _start(environment: Environment, job: Job, start: _Start, watcher: Watcher) -> Completed:
    folder = start.folder
    interpreter = str(environment.python)
    try:
        return run(
            [interpreter, "-I", "-c", BOOT, str(folder.inject), str(folder.folder)],
            logs=folder.folder,
            env=variables(start.variables),
            cwd=job.workload.cwd if job.workload else None,
            timeout=start.timeout,
            listener=Listener(line=watcher.line, tick=_ticker(folder, watcher)),
        )
    except OSError as error:
        raise EnvironmentFailed(
            f"{environment.name}: the interpreter {interpreter} cannot be started: "
            f"{error.strerror or error}.",
            hint="Name another one with python=/path/to/python, or rebuild the environment: "
            "forkpoint env prune, then the same command again.",
        ) from error


def variables(own: Mapping[str, str]) -> dict[str, str]:
    """The environment variables of a run: those of this process, and the environment's own."""
    return {**os.environ, **own}


def _ticker(folder: Control, watcher: Watcher) -> Callable[[], None] | None:
    if watcher.event is None:
        return None
    report = watcher.event
    seen: list[LastEvent | None] = [None]

    def tick() -> None:
        last = read_last_event(folder.last_event)
        if last is not None and last != seen[0]:
            seen[0] = last
            report(last)

    return tick


def _require_a_start(
    environment: Environment, folder: Control, completed: Completed, answer: Answer | None
) -> None:
    """Raise where the interpreter ended before the worker's first line.

    The worker creates its fault log first: without one, the worker never ran, and what failed
    is the interpreter (status 1 and a traceback, or 127 from a broken launcher).
    """
    if answer is not None or completed.timed_out or folder.fault_log.exists():
        return
    if completed.returncode == -signal.SIGKILL:
        return
    raise EnvironmentFailed(
        f"{environment.name}: the interpreter {environment.python} does not start "
        f"(exit status {completed.returncode}):\n{completed.tail()}".rstrip(":\n"),
        hint="forkpoint needs Python 3.8 or newer with torch 2.0 or newer. "
        f"Try it: {environment.python} -c 'import torch'",
    )


def _exit_code(completed: Completed, answer: Answer | None) -> int:
    if answer is not None and answer.exit_code is not None:
        return answer.exit_code
    return completed.returncode
