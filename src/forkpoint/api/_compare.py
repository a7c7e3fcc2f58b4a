"""The main job: one script, two environments, two passes, one comparison."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from forkpoint.api._artifacts import Collector, collector_for, with_artifacts
from forkpoint.api._diagnose import Bench, diagnosed
from forkpoint.api._options import Observer, Options, as_job, read_tolerance
from forkpoint.api._record import Script, as_workload, nothing_recorded
from forkpoint.api._refine import both_neutral, refine, unrepeatable
from forkpoint.api._results import BARE, DETAIL, SEARCH, Results, write_result
from forkpoint.api._runner import Environments, Runner, read_environments
from forkpoint.api._swap import CompareFiles, Swaps
from forkpoint.artifacts import Unpacker
from forkpoint.compare import (
    Context,
    Plan,
    check_neutral,
    parse_tolerance,
    second_pass,
    unrepeatable_steps,
)
from forkpoint.compare import diff as diff_recordings
from forkpoint.diagnose import find_stages
from forkpoint.environments import Environment, EnvironmentCache
from forkpoint.errors import ForkpointError, RecordingError, UsageError, WorkerFailed
from forkpoint.host import Job, JobResult, Workload, in_turn
from forkpoint.model import Comparison, Neutral, Tolerance, Verdict
from forkpoint.report import to_json
from forkpoint.store import Recording


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A comparison, the folder with all that was made for it, and what went wrong meanwhile."""

    comparison: Comparison
    folder: Path
    failures: tuple[ForkpointError, ...] = ()


def compare(
    script: Script,
    environments: Environments,
    *,
    argv: Sequence[str] = (),
    options: Options | None = None,
    observer: Observer | None = None,
) -> Comparison:
    """Run a script in two environments and find where they part ways.

    ``environments``: ``{"old": "torch==2.9.1", "new": "torch==2.10.0"}``, baseline first, or
    a list of ``"old=torch==2.9.1"``, specs and built environments. ``argv`` are the script's
    arguments. Results are kept in ``options.out``. A script that fails after some steps gives
    a comparison of those, with verdict ``incomplete``; one that fails before raises
    `WorkerFailed`. Raises `UsageError`, `EnvironmentFailed` and `NothingRecorded` as well.
    """
    workload = as_workload(script)
    if argv:
        workload = replace(workload, argv=tuple(argv))
    return run_comparison(workload, environments, options=options, observer=observer).comparison


def diff(
    baseline: str | PathLike[str],
    candidate: str | PathLike[str],
    *,
    tolerance: str | Tolerance = "torch",
) -> Comparison:
    """Compare the recordings in two folders.

    ``tolerance`` is a preset (``torch``, ``bitwise``, ``bnb``) or a `Tolerance`. Raises
    `RecordingError` where a folder is no recording or is damaged.
    """
    limits = parse_tolerance(tolerance) if isinstance(tolerance, str) else tolerance
    with Recording.open(Path(baseline)) as one, Recording.open(Path(candidate)) as two:
        return _with_stages(diff_recordings(one, two, tolerance=limits))


def run_comparison(
    workload: Workload,
    environments: Environments,
    *,
    options: Options | None = None,
    observer: Observer | None = None,
    reproduce: str = "",
) -> Finished:
    """`compare`, with the folder of results and the failures of runs; see there."""
    options = options or Options()
    asked = read_environments(environments, count=2)
    claim = Results.claim(options.out, force=options.force)
    with EnvironmentCache(max_bytes=options.max_cache) as cache:
        runner = Runner(options, observer or Observer(), cache)
        baseline, candidate = runner.build(asked)
        results = Results.create(options.out, workload, force=options.force, claim=claim)
        collector = collector_for(workload, options, results.artifacts)
        results.remember(workload, (baseline, candidate), read_tolerance(options.tolerance))
        work = _Work(runner, workload, results, (baseline, candidate), reproduce, collector)
        finished = work.finish()
        finished = replace(finished, comparison=_with_stages(finished.comparison))
        files = None
        if collector is not None:
            files, finished = _with_files(finished, collector, work)
        if options.swap:
            finished = _with_swaps(finished, work, files)
    write_result(results.comparison, to_json(finished.comparison))
    return finished


def _with_files(
    finished: Finished, collector: Collector, work: _Work
) -> tuple[CompareFiles, Finished]:
    """The comparison with the runs' files; without judgements where those cannot be read.

    Also how to compare files of further runs.
    """
    baseline, candidate = work.environments
    failures, relevance = finished.failures, None
    try:
        relevance = collector.relevance(baseline.name)
    except UsageError as error:
        failures = (*failures, error)
    files = partial(
        collector.compare,
        tolerance=work.tolerance,
        relevance=relevance,
        # the candidate's torch, the newer one as a rule, is asked first
        unpack=Unpacker((candidate, baseline), collector.folder),
    )
    found = files((collector.kept(baseline.name), collector.kept(candidate.name)))
    comparison = with_artifacts(finished.comparison, found)
    return files, replace(finished, comparison=comparison, failures=failures)


def _with_stages(comparison: Comparison) -> Comparison:
    """The comparison with what its watched calls say of floats and integers."""
    found = find_stages(comparison.watched)
    return (
        replace(comparison, experiments=(*comparison.experiments, found)) if found else comparison
    )


def _with_swaps(finished: Finished, work: _Work, files: CompareFiles | None) -> Finished:
    baseline, candidate = work.environments
    swaps = Swaps(
        bench=work.bench(candidate),
        names=(baseline.name, candidate.name),
        results=work.results,
        watch=work.options.watched,
        collector=work.collector,
        files=files,
    )
    return replace(finished, comparison=swaps.tried(work.options.swap, finished.comparison))


@dataclass(frozen=True, slots=True)
class _Work:
    """One comparison under way."""

    runner: Runner
    workload: Workload
    results: Results
    environments: tuple[Environment, Environment]
    reproduce: str
    collector: Collector | None = None

    @property
    def options(self) -> Options:
        return self.runner.options

    @property
    def tolerance(self) -> Tolerance:
        return read_tolerance(self.options.tolerance)

    def finish(self) -> Finished:
        """Do all passes that are needed."""
        runs = self._first_pass()
        failures = tuple(run.failure for run in runs if run.failure is not None)
        if failures:
            return self._incomplete(runs, failures)
        empty = [run for run in runs if not run.steps]
        if empty:
            raise nothing_recorded(self.workload, empty)
        first = self._diff("")
        if self.options.level == "op":
            return self._finished(first, self._bare_run_neutral())
        plan = self._plan()
        if plan is None:
            return self._finished(first, self._bare_run_neutral())
        return self._look_closer(first, plan)

    def _first_pass(self) -> list[JobResult]:
        """Both environments, module by module (or op by op, the candidate measuring at once)."""
        whole = self.options.level == "op"
        baseline = self._job(
            level=self.options.level,
            steps=self.options.steps,
            max_storage=self.options.max_storage if whole or self.options.watched else 0,
            watch=self.options.watched,
            store=("root",) if whole else (),  # what is watched gets the room of a first pass
        )
        reference = self.results.recording(self.environments[0].name) if whole else None
        jobs = (baseline, replace(baseline, reference=reference))
        tasks = [
            partial(self._run, environment, job, "", f"recording every {self.options.level}")
            for environment, job in zip(self.environments, jobs, strict=True)
        ]
        # the candidate measures against what the baseline kept: then one comes after the other
        return [task() for task in tasks] if whole else self.runner.both(tasks)

    def _plan(self) -> Plan | None:
        with ExitStack() as stack:
            pair = self._open(stack, "")
            return second_pass(*pair, max_storage=self.options.max_storage)

    def _look_closer(self, first: Comparison, plan: Plan) -> Finished:
        """The second pass: ops and tensors around the forks."""
        picks = limited(plan.as_json(), self.options.steps)
        baseline = self._job(plan=picks, max_storage=self.options.max_storage)
        candidate = replace(
            baseline, reference=self.results.recording(self.environments[0].name, DETAIL)
        )
        one, two = self.environments
        purpose = "looking closer at the forks"
        runs = in_turn(
            lambda: self._run(one, baseline, DETAIL, purpose),
            lambda gate: self._run(two, replace(candidate, gate=gate), DETAIL, purpose),
            at_once=self.runner.at_once,
        )
        failed = next((run for run in runs if run is not None and run.failure is not None), None)
        if failed is not None:
            return self._without_detail(first, failed)
        return self._combined(first, plan)

    def _combined(self, first: Comparison, plan: Plan) -> Finished:
        doubts: dict[str, tuple[int, ...]] = {}
        neutral: dict[str, Neutral] = {}
        for environment in self.environments:
            with ExitStack() as stack:
                one, two = (self._recording(stack, environment, s) for s in ("", DETAIL))
                doubts[environment.name] = unrepeatable_steps(one, two)
                neutral[environment.name] = check_neutral(one, two)
        if any(doubts.values()):
            return self._finished(unrepeatable(first, doubts), both_neutral(neutral))
        agreed = self._bare_run_neutral() if plan.needs_bare_run else both_neutral(neutral)
        finished = self._finished(refine(first, self._diff(DETAIL)), agreed, _plan_notes(plan))
        return self._diagnosed(finished) if self.options.diagnose else finished

    def _diagnosed(self, finished: Finished) -> Finished:
        """Say why; where that fails, the comparison stands and the failure is told of."""
        one, two = (self.bench(environment) for environment in self.environments)
        try:
            comparison = diagnosed(
                finished.comparison,
                (one, two),
                self.results,
                names=self.options.experiments,
                crop=self.options.crop,
            )
        except WorkerFailed as failure:
            return replace(finished, failures=(*finished.failures, failure))
        return replace(finished, comparison=comparison)

    def bench(self, environment: Environment) -> Bench:
        logs = self.results.logs(environment.name, SEARCH)
        bench = Bench(self.runner, environment, self.workload, self.tolerance, logs)
        if self.collector is None:
            return bench
        return replace(bench, afterwards=partial(self.collector.take, "", keep=False))

    def _bare_run_neutral(self) -> Neutral:
        """Run one step in each environment with nothing but its outputs looked at."""
        job = self._job(level="bare", stop_after=1)
        purpose = "checking that recording is neutral"
        runs = self.runner.both(
            [partial(self._run, one, job, BARE, purpose) for one in self.environments]
        )
        return both_neutral({run.name: self._beside_bare(run) for run in runs})

    def _beside_bare(self, run: JobResult) -> Neutral:
        if run.failure is not None:
            return Neutral(equal=None, evidence="the unrecorded run of one step failed")
        with ExitStack() as stack:
            paths = (self.results.recording(run.name, suffix) for suffix in ("", BARE))
            one, two = (stack.enter_context(Recording.open(path)) for path in paths)
            return check_neutral(one, two)

    def _incomplete(
        self, runs: Sequence[JobResult], failures: tuple[ForkpointError, ...]
    ) -> Finished:
        """Compare what there is; raises the failure where there is nothing to compare."""
        said = _alike(runs) or tuple(failures)
        try:
            comparison = self._diff("")
        except RecordingError:
            raise said[0] from None
        if not comparison.steps:
            raise said[0]
        lines = tuple(_first_line(failure) for failure in said)
        comparison = replace(
            comparison,
            verdict=Verdict.INCOMPLETE,
            reasons=(*lines, *comparison.reasons),
        )
        neutral = Neutral(equal=None, evidence="the script failed, so it was not run again")
        return replace(self._finished(comparison, neutral), failures=said)

    def _without_detail(self, first: Comparison, run: JobResult) -> Finished:
        assert run.failure is not None
        note = (
            f"The second pass failed in {run.name}, so forks are known by module only and "
            f"nothing was measured: {_first_line(run.failure)}"
        )
        neutral = Neutral(equal=None, evidence="the second pass failed")
        return replace(self._finished(first, neutral, (note,)), failures=(run.failure,))

    def _finished(
        self, comparison: Comparison, neutral: Neutral, notes: tuple[str, ...] = ()
    ) -> Finished:
        coverage = replace(comparison.coverage, notes=(*comparison.coverage.notes, *notes))
        return Finished(
            comparison=replace(comparison, neutral=neutral, coverage=coverage),
            folder=self.results.folder,
        )

    def _job(self, **fields: Any) -> Job:
        return Job(workload=self.workload, tolerance=as_job(self.tolerance), **fields)

    def _run(self, environment: Environment, job: Job, suffix: str, purpose: str) -> JobResult:
        recording = self.results.recording(environment.name, suffix)
        logs = self.results.logs(environment.name, suffix)
        result = self.runner.run(
            environment, replace(job, recording=recording), logs=logs, purpose=purpose
        )
        if self.collector is not None:
            self.collector.take(environment.name, keep=not suffix)
        return result

    def _diff(self, suffix: str) -> Comparison:
        one, two = self.environments
        context = Context(specs=(one.spec.text, two.spec.text), reproduce=self.reproduce)
        with ExitStack() as stack:
            pair = self._open(stack, suffix)
            return diff_recordings(*pair, tolerance=self.tolerance, context=context)

    def _open(self, stack: ExitStack, suffix: str) -> tuple[Recording, Recording]:
        one, two = (self._recording(stack, e, suffix) for e in self.environments)
        return one, two

    def _recording(self, stack: ExitStack, environment: Environment, suffix: str) -> Recording:
        path = self.results.recording(environment.name, suffix)
        return stack.enter_context(Recording.open(path))


def limited(plan: dict[str, Any], ranges: tuple[tuple[int, int], ...] | None) -> dict[str, Any]:
    """The plan, looking closely only at steps in the half-open ranges (null: anywhere)."""
    if ranges is None:
        return plan
    steps = {
        step: pick
        if any(start <= int(step) < stop for start, stop in ranges)
        else {"level": "bare", "store": [s for s in pick["store"] if s == "root"]}
        for step, pick in plan["steps"].items()
    }
    return {**plan, "steps": steps}


def _plan_notes(plan: Plan) -> tuple[str, ...]:
    if not plan.unkept:
        return ()
    return (
        f"{len(plan.unkept)} divergent steps were not measured, because their outputs do not "
        "fit into the storage limit: raise it with --max-storage.",
    )


def _alike(runs: Sequence[JobResult]) -> tuple[ForkpointError, ...]:
    """One failure for both environments where both runs ended the same way."""
    failures = [run.failure for run in runs if run.failure is not None]
    texts = {
        _first_line(failure).removeprefix(f"{run.name}: ")
        for run, failure in zip(runs, failures, strict=False)
    }
    if len(failures) < len(runs) or len(texts) > 1:
        return ()
    names = " and ".join(run.name for run in runs)
    first = failures[0]
    message = first.message.removeprefix(f"{runs[0].name}: ")
    return (type(first)(f"{names} alike: {message}", hint=first.hint),)


def _first_line(failure: ForkpointError) -> str:
    return failure.message.partition("\n")[0]
