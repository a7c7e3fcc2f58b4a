"""The results of bisect and history: frozen values, and the JSON contracts they spell."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from forkpoint.model import Origin

HISTORY_SCHEMA = "forkpoint.history/1"
BISECT_SCHEMA = "forkpoint.bisect/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one item (an op call, or a module call of a script) gave in one environment.

    Equal ``digests`` are equal bits. ``status`` is that of a replayed call (``ran``,
    ``no_such_op``, ``raised``, ...); ``repeatable`` is false where a second, fresh process gave
    other bits, null where it was not asked. ``inputs`` stands for what an op call of a script
    was given: equal texts are equal bits; null where that is not known.
    """

    status: str
    digests: tuple[str, ...] = ()
    reason: str | None = None
    repeatable: bool | None = None
    inputs: str | None = None

    @property
    def ran(self) -> bool:
        """Whether there are bits to compare."""
        return self.status == "ran"


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How far one item's outputs moved between two releases.

    ``max_ulp`` and ``max_abs`` between the two; ``before_ulp`` and ``after_ulp`` are the largest
    distances from a float64 computation of the same call, in ULP of the output's dtype.
    """

    max_abs: float | None = None
    max_ulp: int | None = None
    before_ulp: float | None = None
    after_ulp: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One release of the history; ``reason`` says why it was not measured.

    Times are in seconds: ``other_seconds`` is what neither builds nor runs took. ``recorded``
    says that capsules held the answer. ``lock`` has the packages, a line each; ``locks`` those
    by Python, where Python is an axis. ``failures`` says why single axis values could not run.
    """

    version: str
    state: Literal["measured", "skipped"]
    reason: str | None = None
    cached: bool = False
    recorded: bool = False
    build_seconds: float = 0.0
    run_seconds: float = 0.0
    other_seconds: float = 0.0
    lock: tuple[str, ...] = ()
    locks: dict[str, tuple[str, ...]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the matrix: an op signature, or a module call of a step, at one axis value.

    ``cells`` has one class of bits for each release (``a`` is the oldest), null where there is
    nothing to compare; ``inputs`` is the number of random inputs that each cell stands for.
    ``unrepeatable`` names releases whose two processes disagreed.
    """

    name: str
    op: str
    dtype: str
    shapes: tuple[tuple[int, ...], ...]
    axis: str
    inputs: int
    cells: tuple[str | None, ...]
    absent: dict[str, str] = field(default_factory=dict)
    unrepeatable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RowChange:
    """One row that changed between two releases: how many of its inputs, and by how much.

    ``own`` of the ``differing`` were given equal inputs, so that they differ by themselves; null
    where inputs are not known (modules of a script). ``since`` is the release compared with, where
    the row could not run in the neighbour; ``returns_to`` an older one with the same bits.
    """

    name: str
    axis: str
    inputs: int
    differing: int
    own: int | None = None
    max_abs: float | None = None
    max_ulp: int | None = None
    before_ulp: float | None = None
    after_ulp: float | None = None
    nearer: Literal["before", "after", "neither"] | None = None
    returns_to: str | None = None
    since: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """Why a script changed between two releases, by the diagnosis of a comparison of the two.

    ``folder`` holds the comparison, with capsules of the origins; ``failure`` says why there is
    no diagnosis, or is null.
    """

    axis: str
    explanation: tuple[str, ...] = ()
    origins: tuple[Origin, ...] = ()
    folder: str = ""
    failure: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """All that changed between two neighbouring releases that were measured.

    ``compared`` rows ran in the newer release and in one before it, and were repeatable in all
    releases. ``diagnoses`` has one for each axis value that changed, where they were asked for.
    """

    before: str
    after: str
    rows: tuple[RowChange, ...]
    compared: int
    appeared: tuple[str, ...] = ()
    vanished: tuple[str, ...] = ()
    diagnoses: tuple[Diagnosis, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The matrix of releases and rows, and the changes between neighbours."""

    package: str
    subject: str
    machine: dict[str, str]
    releases: tuple[Tried, ...]
    rows: tuple[Row, ...]
    changes: tuple[Change, ...]
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    peak_disk: int = 0
    schema: Literal["forkpoint.history/1"] = "forkpoint.history/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One release that a bisection looked at.

    ``source``: it was run, or read from what was measured before (``known``) or from what
    capsules recorded (``recorded``).
    """

    version: str
    state: Literal["good", "bad", "skipped"]
    reason: str | None = None
    source: Literal["run", "known", "recorded"] = "run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bisection:
    """Between which two releases the result changed; ``skipped`` lie between them.

    ``builds`` counts environments that were not there before. ``appeared`` and ``vanished`` are
    rows that ran in one of the two only. ``notes`` are whole sentences: what was taken at the
    caller's word, and what from capsules.
    """

    package: str
    subject: str
    good: str
    bad: str
    last_good: str
    first_bad: str
    skipped: tuple[str, ...]
    steps: tuple[Step, ...]
    builds: int
    changed: tuple[RowChange, ...]
    machine: dict[str, str]
    assumption: str
    appeared: tuple[str, ...] = ()
    vanished: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    diagnoses: tuple[Diagnosis, ...] = ()
    seconds: float = 0.0
    schema: Literal["forkpoint.bisect/1"] = "forkpoint.bisect/1"
