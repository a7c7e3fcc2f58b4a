"""What every experiment is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from forkpoint.environments import Environment
from forkpoint.host import Call, Job, JobResult, Replayed, Workload
from forkpoint.model import Comparison, Experiment, Origin


class Bench(Protocol):
    """One environment, ready to run the workload again or to replay op calls."""

    @property
    def environment(self) -> Environment:
        """The built environment."""
        ...

    def run(self, job: Job, *, purpose: str) -> JobResult:
        """Run a job in a fresh process; ``purpose`` is shown while it runs."""
        ...

    def replay(self, calls: Sequence[Call], *, purpose: str) -> dict[str, Replayed]:
        """Run calls in a fresh process (a new one after a crash); results by id."""
        ...

    def altered(
        self,
        *,
        settings: Mapping[str, str] | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> Bench:
        """The same environment with other torch settings or environment variables."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One divergent comparison under diagnosis.

    ``folder`` is for what experiments write; it stays. ``recordings`` are those of the second
    pass (baseline, candidate). ``scratch`` is the number of bytes that may lie there meanwhile.
    ``crop`` is the (dimension, start, stop) that a user asked for.
    """

    comparison: Comparison
    workload: Workload
    baseline: Bench
    candidate: Bench
    recordings: tuple[Path, Path]
    folder: Path
    scratch: int
    seed: int = 0
    crop: tuple[int, int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """An experiment's end, and the origins as it leaves them (all of them, enriched)."""

    experiment: Experiment
    origins: tuple[Origin, ...]


class Experimenter(Protocol):
    """One experiment: a module of this package, registered in the procedure's list."""

    name: str

    def __call__(self, case: Case) -> Finding:
        """Do it. A problem of the subject is an outcome; only faults of ours are raised."""
        ...
