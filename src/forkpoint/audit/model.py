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


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """Calls of one op in one module that gave other rows for equal rows, in one trial.

    ``call`` is the number of the first of them among the op's calls in that module; signature,
    input shapes (of the call as the script makes it, and of the variant) and metrics are its.
    """

    module: str
    op: str
    call: int
    calls: int
    signature: str
    whole: tuple[tuple[int, ...], ...]
    varied: tuple[tuple[int, ...], ...]
    metrics: Metrics | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One step, made again in one other way.

    ``state``: the module's outputs are ``equal`` or ``differs`` where its inputs are equal; they
    could not be matched row by row (``unmatched``); or it was ``not_tried``, for ``reason``.
    ``calls`` counts op calls by what became of them. ``breaks`` are in the order of the run.
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
    of the module's outputs.
    """

    property: Property
    verdict: Literal["holds", "fails", "not_tried"]
    promised: bool
    tried: int = 0
    equal: int = 0
    reason: str | None = None
    first: Break | None = None
    first_in: int = 0
    largest: Metrics | None = None


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
