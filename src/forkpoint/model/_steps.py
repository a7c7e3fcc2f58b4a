"""Steps, their forks, and the tables over them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from forkpoint.model._values import Metrics, PlainDifference, Unread, Verdict


class ReasonKind(StrEnum):
    """What `Step.reason` is about; decisions go by this, never by the sentence."""

    OTHER_MODULE = "other_module"
    WEIGHTS = "weights"
    INPUTS = "inputs"
    UNREAD = "unread"
    RAISED = "raised"
    NOT_ENDED = "not_ended"
    STRUCTURE = "structure"
    PLAIN_VALUES = "plain_values"
    NOT_MEASURED = "not_measured"
    NOT_REPEATED = "not_repeated"
    NOT_NEUTRAL = "not_neutral"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepInput:
    """One tensor (or plain value) that a step was called with.

    ``from_step`` is set where it is not equal and is, on each side, a tensor that an earlier step
    returned: that step's number.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    equal: bool
    from_step: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOutput:
    """One tensor that a step returned; ``metrics`` is null where it was not measured."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    equal: bool
    metrics: Metrics | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkInput:
    """An input of a fork's op that is not known to be equal on both sides.

    ``state``: it ``differs``; it is ``unread``, so that nothing is known of it; it is ``unproven``
    (a view whose memory cannot be told to hold the same); or it is the state of a ``random``
    generator, which is never recorded. ``source`` is where it came from: ``outside`` stands for
    all that is no recorded event (an attribute, a closure, a file, another thread), ``arguments``
    for plain arguments and the layouts of tensors.
    """

    name: str
    state: Literal["differs", "unread", "unproven", "random"]
    source: Literal["op", "input", "weight", "outside", "arguments", "unknown"] = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fork:
    """The first event of a step whose output differs, before any other ops or modules ran.

    ``kind`` says how finely the step was recorded: ``op`` (an ATen op call) or ``module``
    (the first module to return other bits; the op lies in it or before it, after
    ``after``). ``inputs_equal`` is true where all that the op took was read and is equal; null
    where that is not known. ``moves`` says that the op only puts numbers elsewhere. Only a fork
    that is `proven` is the first operator that differs; any other is the first difference seen,
    and ``inputs`` names what is not known to be equal.
    """

    kind: Literal["module", "op"]
    module: str
    op: str | None
    event: int
    inputs_equal: bool | None
    signature: str | None = None
    after: str | None = None
    shapes: tuple[tuple[int, ...], ...] = ()
    dtypes: tuple[str, ...] = ()
    metrics: Metrics | None = None
    moves: bool = False
    inputs: tuple[ForkInput, ...] = ()

    @property
    def proven(self) -> bool:
        """Whether one op computed other bits from inputs that were all read and are equal."""
        return self.kind == "op" and self.inputs_equal is True and not self.moves


@dataclass(frozen=True, slots=True, kw_only=True)
class InnerDifference:
    """What differs inside a step whose outputs are identical, first the earliest event.

    ``op`` is null where that event is a module call; ``differing`` of ``compared`` events differ.
    """

    module: str
    op: str | None
    differing: int
    compared: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One outermost module call, in both environments.

    ``chained`` says that inputs differ and that each of those is what an earlier step returned
    (`StepInput.from_step`): then the verdict is that of the outputs, whose difference is the
    inputs' and the step's own together, and there is no fork. ``changed_by_ops`` says that in one
    environment the step gave other bits when it was observed op by op than it gave otherwise: the
    verdict is that of the other runs, and what was seen op by op is not used. ``values`` are
    inputs and outputs that are no tensors and differ, the structure of containers among them;
    ``unread`` are inputs, weights and outputs that could not be read. ``same_sequence`` says
    whether the same ops and modules ran, as far as both sides recorded them (null: nothing inside
    was recorded). ``inner`` tells of what differs inside although the outputs are identical.
    """

    index: int
    module: str
    inputs: tuple[StepInput, ...]
    verdict: Verdict
    fork: Fork | None
    outputs: tuple[StepOutput, ...]
    reason: str | None = None
    chained: bool = False
    changed_by_ops: bool = False
    reason_kind: ReasonKind | None = None
    values: tuple[PlainDifference, ...] = ()
    unread: tuple[Unread, ...] = ()
    same_sequence: bool | None = None
    inner: InnerDifference | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeRow:
    """The steps that share module and input shapes, and how they came out."""

    module: str
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[str, ...]
    steps: tuple[int, ...]
    verdicts: dict[str, int]
    fork: str | None
    max_abs: float | None
    max_ulp: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatCell:
    """One module call in one step: ``state`` is identical, differs or absent.

    ``max_abs`` and ``max_ulp`` are null where the tensors were not both at hand.
    """

    state: Literal["identical", "differs", "absent"]
    max_abs: float | None = None
    max_ulp: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatMap:
    """Steps by module calls; ``cells[i][j]`` is step ``steps[i]``, module ``modules[j]``."""

    modules: tuple[str, ...]
    steps: tuple[int, ...]
    cells: tuple[tuple[HeatCell, ...], ...]
    omitted_steps: int = 0
    omitted_modules: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceDifference:
    """Where the op or module sequences of a step stop being the same.

    ``omitted`` counts what is not listed on each side, baseline first. ``verdict_before`` says
    whether all that both sides recorded before that place is ``identical`` or ``divergent``.
    """

    step: int
    module: str
    only_baseline: tuple[str, ...]
    only_candidate: tuple[str, ...]
    omitted: tuple[int, int] = (0, 0)
    verdict_before: Verdict | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightDifference:
    """A weight or buffer that is not the same on both sides, and the step that first showed it."""

    module: str
    name: str
    step: int
