"""The runs of a comparison: what each of them records, and where that lies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from forkpoint.api._artifacts import Collector
from forkpoint.api._options import Options, as_job, read_tolerance
from forkpoint.api._results import AGAIN, BARE, DETAIL, Results
from forkpoint.api._runner import Runner
from forkpoint.compare import Context
from forkpoint.compare import diff as diff_recordings
from forkpoint.environments import Environment
from forkpoint.host import Job, JobResult, Workload, in_turn
from forkpoint.model import Comparison, Tolerance
from forkpoint.store import Recording


@dataclass(frozen=True, slots=True)
class Passes:
    """The two environments of one comparison, and the folder for what they record."""

    runner: Runner
    workload: Workload
    results: Results
    environments: tuple[Environment, Environment]
    reproduce: str = ""
    collector: Collector | None = None

    @property
    def options(self) -> Options:
        """What the caller chose."""
        return self.runner.options

    @property
    def tolerance(self) -> Tolerance:
        """The tolerance in force."""
        return read_tolerance(self.options.tolerance)

    def first(self) -> list[JobResult]:
        """Both environments, module by module (or op by op, the candidate measuring at once)."""
        jobs = self._first_jobs()
        what = f"recording every {self.options.level}"
        tasks = [
            partial(self._run, environment, job, "", what)
            for environment, job in zip(self.environments, jobs, strict=True)
        ]
        # the candidate measures against what the baseline kept: then one comes after the other
        in_order = self.options.level == "op"
        return [task() for task in tasks] if in_order else self.runner.both(tasks)

    def again(self, environment: Environment) -> JobResult:
        """The first pass of one environment once more."""
        job = self._first_jobs()[self.environments.index(environment)]
        return self._run(environment, job, AGAIN, "once more, as in the first run")

    def detail(self, picks: dict[str, Any], suffix: str = DETAIL) -> JobResult | None:
        """Both environments by a plan, the candidate measuring; the run that failed, or null."""
        baseline = self._job(plan=picks, max_storage=self.options.max_storage)
        one, two = self.environments
        candidate = replace(baseline, reference=self.results.recording(one.name, suffix))
        purpose = "looking closer at the forks"
        runs = in_turn(
            lambda: self._run(one, baseline, suffix, purpose),
            lambda gate: self._run(two, replace(candidate, gate=gate), suffix, purpose),
            at_once=self.runner.at_once,
        )
        return next((run for run in runs if run is not None and run.failure is not None), None)

    def bare(
        self,
        environments: Sequence[Environment],
        *,
        suffix: str = BARE,
        stop_after: int | None = None,
    ) -> list[JobResult]:
        """Run environments with nothing but inputs and outputs of steps looked at."""
        job = self._job(level="bare", stop_after=stop_after)
        purpose = "checking that recording is neutral"
        return self.runner.both(
            [partial(self._run, one, job, suffix, purpose) for one in environments]
        )

    def diff(self, suffix: str) -> Comparison:
        """Compare what both sides recorded in one pass; steps are numbered as in the first."""
        one, two = self.environments
        specs = one.spec.text, two.spec.text
        with self.sides(suffix) as pair, self.sides("") as (first, _):
            context = Context(specs=specs, reproduce=self.reproduce, like=first if suffix else None)
            return diff_recordings(*pair, tolerance=self.tolerance, context=context)

    @contextmanager
    def sides(self, suffix: str) -> Iterator[tuple[Recording, Recording]]:
        """Both recordings of one pass, opened."""
        names = [environment.name for environment in self.environments]
        with ExitStack() as stack:
            one, two = (
                stack.enter_context(Recording.open(self.results.recording(name, suffix)))
                for name in names
            )
            yield one, two

    @contextmanager
    def runs(self, name: str, *suffixes: str) -> Iterator[tuple[Recording, ...]]:
        """Recordings of several passes of one environment, opened."""
        with ExitStack() as stack:
            yield tuple(
                stack.enter_context(Recording.open(self.results.recording(name, suffix)))
                for suffix in suffixes
            )

    def _first_jobs(self) -> tuple[Job, Job]:
        whole = self.options.level == "op"
        baseline = self._job(
            level=self.options.level,
            steps=self.options.steps,
            max_storage=self.options.max_storage if whole or self.options.watched else 0,
            watch=self.options.watched,
            store=("root",) if whole else (),  # what is watched gets the room of a first pass
        )
        reference = self.results.recording(self.environments[0].name) if whole else None
        return baseline, replace(baseline, reference=reference)

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
