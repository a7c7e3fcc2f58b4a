"""The result of an audit, and the JSON contract that it spells (``forkpoint.audit/1``)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from forkpoint.model import Metrics, StepInput

SCHEMA = "forkpoint.audit/1"

Property = Literal["batch", "position", "padding", "threads", "run"]
PROPERTIES: tuple[Property, ...] = ("batch", "position", "padding", "threads", "run")
"""Any batch size; any place in the batch; any padding; any thread count; another process."""

TrialState = Literal["equal", "differs", "unmatched", "not_tried"]

Proof = Literal["rounding", "number", "alone"]
"""What was shown of an op that gave other rows for equal rows when it was called again, alone: in
float64 the difference is gone; it is not, and the op was given another number (a size, say); or
float64 could not be tried."""

Rows = Literal["own", "moved", "mixed"]
"""Whose the rows of a module's outputs are, found by giving rows other contents: each the result of
its input row alone; of another input row; or of several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """Calls of one op in one module that gave other rows for equal rows, in one trial.

    ``call`` is the number of the first of them among the op's calls in that module; signature,
    input shapes (of the call as the script makes it, and of the variant) and metrics are its.
    ``proof`` is null for what is seen in the script only (threads, run).
    """

    module: str
    op: str
    call: int
    calls: int
    signature: str
    whole: tuple[tuple[int, ...], ...]
    varied: tuple[tuple[int, ...], ...]
    metrics: Metrics | None = None
    proof: Proof | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One step, made again in one other way.

    ``state``: the module's outputs are ``equal`` or ``differs`` where its inputs are equal; they
    could not be matched row by row (``unmatched``); or it was ``not_tried``, for ``reason``.
    ``calls`` counts op calls by what became of them. ``breaks`` are in the order of the run.
    ``size`` is the number of rows (``batch``) or the length (``padding``) tried, ``whole_size``
    that of the script's own call; ``shared`` a digest of what outputs of all sizes hold.
    ``rows`` says of a batch or position that differs whose the output rows are (null: not known),
    and ``mixing`` lists the ops that make rows of other rows. ``left_out`` names outputs that have
    no rows: what is made of all samples is no sample's result. ``fills`` says what padding was put
    into which input.
    """

    property: Property
    step: int
    module: str
    inputs: tuple[StepInput, ...]
    variant: str
    state: TrialState
    reason: str | None = None
    metrics: Metrics | None = None
    calls: dict[str, int] = field(default_factory=dict)
    breaks: tuple[Break, ...] = ()
    size: int | None = None
    whole_size: int | None = None
    shared: str | None = None
    rows: Rows | None = None
    mixing: tuple[Break, ...] = ()
    left_out: tuple[str, ...] = ()
    fills: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeCount:
    """A number of rows, or a length: the steps it was tried in, and those that differ there."""

    size: int
    tried: int
    differing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeClasses:
    """Sizes at which a sample has one result, another one at those of the next class, and so on.

    ``steps`` are all with these classes; the size of the script's own call is among them.
    """

    classes: tuple[tuple[int, ...], ...]
    steps: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A step that cannot be called again, and why."""

    step: int
    module: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PropertyResult:
    """What is known of one property: it ``holds`` in ``equal`` of ``tried`` variants, or fails.

    ``first`` is the op that breaks it first in most of the trials that fail, ``first_in`` the
    number of those trials; null where no op was seen to break it. ``largest`` is the difference
    of the module's outputs. ``sizes`` and ``classes`` are of ``batch`` and ``padding`` only.
    ``mixed`` is the number of trials in which the module makes a row of several rows, by what it
    computes and not by rounding, and ``mixing`` the first op that does so in most of them.
    """

    property: Property
    verdict: Literal["holds", "fails", "not_tried"]
    promised: bool
    tried: int = 0
    equal: int = 0
    reason: str | None = None
    first: Break | None = None
    first_in: int = 0
    mixed: int = 0
    mixing: Break | None = None
    largest: Metrics | None = None
    sizes: tuple[SizeCount, ...] = ()
    classes: tuple[SizeClasses, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OpRow:
    """One op: in how many trials its calls break each property, where, and by how much."""

    op: str
    modules: tuple[str, ...]
    trials: dict[str, int]
    max_abs: float | None
    max_ulp: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """One environment against itself. ``notes`` are whole sentences about what was not seen."""

    environment: str
    spec: str
    fingerprint: dict[str, str]
    properties: tuple[PropertyResult, ...]
    ops: tuple[OpRow, ...]
    trials: tuple[Trial, ...]
    refusals: tuple[Refusal, ...] = ()
    notes: tuple[str, ...] = ()
    schema: Literal["forkpoint.audit/1"] = "forkpoint.audit/1"

    @property
    def kept(self) -> bool | None:
        """Whether all promised properties hold; None where one of them could not be tried."""
        promised = [one.verdict for one in self.properties if one.promised]
        if "fails" in promised:
            return False
        return None if "not_tried" in promised else True
