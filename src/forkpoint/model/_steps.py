"""Steps, their forks, and the tables over them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from forkpoint.model._values import Metrics, Verdict


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
class Fork:
    """The first event of a step whose output differs although its inputs are equal.

    ``kind`` says how finely the step was recorded: ``op`` (an ATen op call) or ``module``
    (the first module to return other bits; the op lies in it or before it, after
    ``after``). ``inputs_equal`` is null where inputs were not recorded.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One outermost module call, in both environments.

    ``chained`` says that inputs differ and that each of those is what an earlier step returned
    (`StepInput.from_step`): then the verdict is that of the outputs, whose difference is the
    inputs' and the step's own together, and there is no fork. ``changed_by_ops`` says that in one
    environment the step gave other bits when it was observed op by op than it gave otherwise: the
    verdict is that of the other runs, and what was seen op by op is not used.
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
    """Where the op or module sequences of a step stop being the same."""

    step: int
    module: str
    only_baseline: tuple[str, ...]
    only_candidate: tuple[str, ...]
