"""Saying why: the diagnosis of a comparison, with the environments it was made in."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from forkpoint.api._options import as_job
from forkpoint.api._results import BARE, DETAIL, PLAIN, Results
from forkpoint.api._runner import Runner
from forkpoint.diagnose import EXPERIMENTS, SEARCH, Case, diagnose, examine
from forkpoint.environments import Environment
from forkpoint.errors import RecordingError
from forkpoint.host import Call, Job, JobResult, Replayed, Replayer, Workload
from forkpoint.model import Comparison, Tolerance
from forkpoint.store import Recording

ROOM = 2 * 10**9
"""Bytes of the baseline's tensors that may lie on the disk during the search."""

_SHARE = 4  # of the free disk, one part in this many at most


def _nothing() -> None:
    """Nothing is in the way."""


@dataclass(frozen=True, slots=True)
class Bench:
    """One environment, as `forkpoint.diagnose` asks for it.

    ``afterwards`` is called after each run of the workload: what that wrote must not be in the
    way of the next one. ``replayer`` is the process that stays for op calls, if there is one.
    """

    runner: Runner
    environment: Environment
    workload: Workload
    tolerance: Tolerance
    logs: Path
    afterwards: Callable[[], None] = _nothing
    replayer: Replayer | None = None

    @property
    def name(self) -> str:
        """What the environment is called."""
        return self.environment.name

    def run(self, job: Job, *, purpose: str) -> JobResult:
        """Run a job in a fresh process."""
        self.close()  # a process that waits holds memory that the script may want
        whole = replace(job, workload=self.workload, tolerance=as_job(self.tolerance))
        try:
            return self.runner.run(self.environment, whole, logs=self.logs, purpose=purpose)
        finally:
            self.afterwards()

    def replay(self, calls: Sequence[Call], *, purpose: str) -> dict[str, Replayed]:
        """Run op calls, in the process that stays where nothing has to be read from its log."""
        return self.runner.replay(
            self.environment,
            calls,
            logs=self._replay_logs,
            purpose=purpose,
            replayer=None if any(call.profile for call in calls) else self.replayer,
        )

    def altered(
        self,
        *,
        variables: Mapping[str, str] | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> Bench:
        """The same environment with more variables and torch settings; no process stays in it."""
        changed = self.environment.altered(variables=variables, settings=settings)
        return replace(self, environment=changed, replayer=None)

    def staying(self) -> Bench:
        """The same bench with a process that stays for op calls, until it is closed."""
        logs = self._replay_logs / "live"
        return replace(self, replayer=self.runner.replayer(self.environment, logs=logs))

    def close(self) -> None:
        """End the process that stays, if there is one."""
        if self.replayer is not None:
            self.replayer.close()

    @property
    def _replay_logs(self) -> Path:
        return self.logs.with_name(f"{self.logs.name}-replay")


def diagnosed(
    comparison: Comparison,
    benches: tuple[Bench, Bench],
    results: Results,
    *,
    names: Iterable[str] | None = None,
    crop: tuple[int, int, int] | None = None,
) -> Comparison:
    """The comparison with its origins, by what the second pass recorded, and experiments.

    ``names`` are experiments; all where None. Origins that are known already are searched for
    again only where an experiment of the search is named. What the search records is removed at
    its end, also at a failed one; capsules of the origins stay in the folder of results. Where no
    op call differs that could be looked at, the comparison is returned as it is.
    """
    one, two = (bench.staying() for bench in benches)
    wanted = set(names) if names is not None else {*SEARCH, *EXPERIMENTS}
    closest = closest_pass(results, one.name)
    case = Case(
        comparison=comparison,
        tolerance=one.tolerance,
        benches=(one, two),
        first=_recorded(results, (one, two), ""),
        recordings=_recorded(results, (one, two), closest),
        again=_again(results, (one, two), closest),
        folder=results.capsules,
        crop=crop,
        at_once=one.runner.at_once,
        scratch=results.search,
        room=min(ROOM, shutil.disk_usage(results.folder).free // _SHARE),
    )
    try:
        if not comparison.origins or wanted & set(SEARCH):
            found = diagnose(case)
            if found is comparison:
                return comparison
            case = replace(case, comparison=found)
        return examine(case, wanted)
    finally:
        one.close()
        two.close()
        shutil.rmtree(results.search, ignore_errors=True)


def closest_pass(results: Results, name: str) -> str:
    """The end of the names of those recordings in which steps were looked at op by op."""
    ends = (PLAIN, DETAIL)
    return next((end for end in ends if results.recording(name, end).is_dir()), "")


def _recorded(results: Results, benches: tuple[Bench, Bench], suffix: str) -> tuple[Path, Path]:
    one, two = (results.recording(bench.name, suffix) for bench in benches)
    return one, two


def _again(
    results: Results, benches: tuple[Bench, Bench], closest: str
) -> tuple[Path, Path] | None:
    """Another run of each environment than the first: null where there was none to its end."""
    paths = _recorded(results, benches, closest or BARE)
    for path in paths:
        try:
            with Recording.open(path) as recording:
                if not recording.complete:
                    return None
        except RecordingError:
            return None
    return paths
