"""What a diagnosis is given: both environments, ready to run again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from forkpoint.host import Call, Job, JobResult, Replayed
from forkpoint.model import Comparison, Tolerance
from forkpoint.process import in_parallel

T = TypeVar("T")


class Bench(Protocol):
    """One environment in which the workload can be run again, and single op calls replayed."""

    @property
    def name(self) -> str:
        """What the environment is called."""
        ...

    def run(self, job: Job, *, purpose: str) -> JobResult:
        """Run a job in a fresh process; the workload and the tolerance are put into it."""
        ...

    def replay(self, calls: Sequence[Call], *, purpose: str) -> dict[str, Replayed]:
        """Run op calls in a process without the script; what came of each, by id."""
        ...

    def altered(
        self,
        *,
        variables: Mapping[str, str] | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> Bench:
        """The same environment with more variables and torch settings."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One comparison under diagnosis.

    ``first`` are the recordings (baseline, candidate) of the first pass, ``recordings`` those in
    which steps were looked at op by op (the same ones where the first pass did that), ``again``
    those of another run of each environment, or null. ``folder`` is for what stays, ``scratch``
    for recordings that are removed when they were read; ``room`` is the number of bytes that may
    lie there meanwhile. ``crop`` is the (dimension, start, stop) that a user asked for. With
    ``at_once`` both environments may run the script at the same time.
    """

    comparison: Comparison
    tolerance: Tolerance
    benches: tuple[Bench, Bench]
    first: tuple[Path, Path]
    recordings: tuple[Path, Path]
    folder: Path
    scratch: Path
    room: int
    again: tuple[Path, Path] | None = None
    crop: tuple[int, int, int] | None = None
    at_once: bool = False

    def both(self, tasks: Sequence[Callable[[], T]]) -> list[T]:
        """Do two runs of the script one after the other, or at once where that may be."""
        return in_parallel(tasks) if self.at_once else [task() for task in tasks]
