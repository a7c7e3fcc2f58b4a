"""The main job: one script, two environments, two passes, one comparison."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from forkpoint.api._artifacts import Collector, collector_for, with_artifacts
from forkpoint.api._checks import Checked, by_bare_run, by_detail
from forkpoint.api._diagnose import Bench, diagnosed
from forkpoint.api._options import Observer, Options, read_tolerance
from forkpoint.api._passes import Passes
from forkpoint.api._record import Script, as_workload, nothing_recorded
from forkpoint.api._refine import changed_by_ops, refine, unneutral, unrepeatable
from forkpoint.api._results import DETAIL, PLAIN, SEARCH, Results, write_result
from forkpoint.api._runner import Environments, Runner, read_environments
from forkpoint.api._swap import CompareFiles, Swaps
from forkpoint.artifacts import Unpacker
from forkpoint.compare import Plan, concluded, parse_tolerance, second_pass, unrepeatable_steps
from forkpoint.compare import diff as diff_recordings
from forkpoint.diagnose import find_stages
from forkpoint.environments import Environment, EnvironmentCache
from forkpoint.errors import ForkpointError, RecordingError, UsageError, WorkerFailed
from forkpoint.host import JobResult, Workload
from forkpoint.model import Comparison, Neutral, Tolerance
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
        work = _Work(Passes(runner, workload, results, (baseline, candidate), reproduce, collector))
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
    baseline, candidate = work.passes.environments
    failures, relevance = finished.failures, None
    try:
        relevance = collector.relevance(baseline.name)
    except UsageError as error:
        failures = (*failures, error)
    files = partial(
        collector.compare,
        tolerance=work.passes.tolerance,
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
    baseline, candidate = work.passes.environments
    swaps = Swaps(
        bench=work.bench(candidate),
        names=(baseline.name, candidate.name),
        results=work.passes.results,
        watch=work.options.watched,
        collector=work.passes.collector,
        files=files,
    )
    return replace(finished, comparison=swaps.tried(work.options.swap, finished.comparison))


@dataclass(frozen=True, slots=True)
class _Work:
    """One comparison under way."""

    passes: Passes

    @property
    def options(self) -> Options:
        return self.passes.options

    def finish(self) -> Finished:
        """Do all passes that are needed."""
        runs = self.passes.first()
        failures = tuple(run.failure for run in runs if run.failure is not None)
        if failures:
            return self._incomplete(runs, failures)
        empty = [run for run in runs if not run.steps]
        if empty:
            raise nothing_recorded(self.passes.workload, empty)
        first = self.passes.diff("")
        if self.options.level == "op":
            checked = by_bare_run(self.passes)
            return self._diagnosed(self._judged(first, checked), checked)
        plan = self._plan()
        if plan is None:
            return self._judged(first, by_bare_run(self.passes))
        return self._look_closer(first, plan, sum(run.seconds for run in runs))

    def _plan(self) -> Plan | None:
        with self.passes.sides("") as pair:
            return second_pass(*pair, max_storage=self.options.max_storage)

    def _look_closer(self, first: Comparison, plan: Plan, seconds: float) -> Finished:
        """The second pass: ops and tensors around the forks."""
        picks = limited(plan.as_json(), self.options.steps)
        failed = self.passes.detail(picks)
        if failed is not None:
            return self._without_detail(first, failed)
        checked = by_detail(self.passes, seconds=seconds)
        if checked.unrepeatable or checked.unneutral:
            return self._judged(first, checked)
        if checked.by_ops:
            return self._without_ops(first, plan, checked)
        found = refine(first, self.passes.diff(DETAIL))
        return self._diagnosed(self._judged(found, checked, _plan_notes(plan)), checked)

    def _without_ops(self, first: Comparison, plan: Plan, checked: Checked) -> Finished:
        """Once more, without a look at the ops of steps that come out otherwise under it."""
        picks = unobserved(limited(plan.as_json(), self.options.steps), checked.by_ops)
        failed = self.passes.detail(picks, PLAIN)
        if failed is not None:
            return self._without_detail(changed_by_ops(first, checked.by_ops), failed)
        for environment in self.passes.environments:
            with self.passes.runs(environment.name, "", PLAIN) as (one, two):
                again = unrepeatable_steps(one, two)
            if again:
                loose = replace(checked, unrepeatable={environment.name: again})
                return self._judged(first, loose)
        found = refine(first, self.passes.diff(PLAIN))
        found = changed_by_ops(found, checked.by_ops)
        return self._diagnosed(self._judged(found, checked, _plan_notes(plan)), checked)

    def _judged(
        self, comparison: Comparison, checked: Checked, notes: tuple[str, ...] = ()
    ) -> Finished:
        """The comparison under what the runs of each environment say of each other."""
        if checked.unrepeatable:
            comparison = unrepeatable(comparison, checked.unrepeatable)
        elif checked.unneutral:
            comparison = unneutral(comparison, checked.unneutral)
        return self._finished(comparison, checked.neutral, notes)

    def _diagnosed(self, finished: Finished, checked: Checked) -> Finished:
        """Say why; where that fails, the comparison stands and the failure is told of."""
        if not self.options.diagnose or checked.unrepeatable or checked.unneutral:
            return finished
        one, two = (self.bench(environment) for environment in self.passes.environments)
        try:
            comparison = diagnosed(
                finished.comparison,
                (one, two),
                self.passes.results,
                names=self.options.experiments,
                crop=self.options.crop,
            )
        except WorkerFailed as failure:
            return replace(finished, failures=(*finished.failures, failure))
        return replace(finished, comparison=comparison)

    def bench(self, environment: Environment) -> Bench:
        passes = self.passes
        logs = passes.results.logs(environment.name, SEARCH)
        bench = Bench(passes.runner, environment, passes.workload, passes.tolerance, logs)
        if passes.collector is None:
            return bench
        return replace(bench, afterwards=partial(passes.collector.take, "", keep=False))

    def _incomplete(
        self, runs: Sequence[JobResult], failures: tuple[ForkpointError, ...]
    ) -> Finished:
        """Compare what there is; raises the failure where there is nothing to compare."""
        said = _alike(runs) or tuple(failures)
        try:
            comparison = self.passes.diff("")
        except RecordingError:
            raise said[0] from None
        if not comparison.steps:
            raise said[0]
        lines = tuple(_first_line(failure) for failure in said)
        failed = {run.name for run in runs if run.failure is not None}
        one, two = comparison.baseline, comparison.candidate
        comparison = replace(
            comparison,
            baseline=replace(one, complete=one.complete and one.name not in failed),
            candidate=replace(two, complete=two.complete and two.name not in failed),
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
            comparison=concluded(replace(comparison, neutral=neutral, coverage=coverage)),
            folder=self.passes.results.folder,
        )


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


def unobserved(plan: dict[str, Any], steps: Iterable[int]) -> dict[str, Any]:
    """The plan without a look at the ops of these steps; their modules and outputs are kept."""
    wanted = {str(step) for step in steps}
    picks = {
        step: {**pick, "level": "module", "window": None} if step in wanted else pick
        for step, pick in plan["steps"].items()
    }
    return {**plan, "steps": picks}


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
