"""What an entry of the catalogue is made of: an op, its arguments, and how they lie in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

ALL = ("float32", "bfloat16", "float16", "float64")
FLOATS = ("float32", "float64")
HALF = ("bfloat16", "float16")

RARELY = 4
"""Times as many inputs in half precision: products of few rows, attention, layer norm."""

COMPLEX = "complex"
"""As the dtype of an operand: the complex one whose parts have the dtype of the entry."""

CHANNELS_LAST = (0, 2, 3, 1)
"""The memory order of an image, or of its filters, that most convolutions prefer."""

HEADS = (0, 2, 1, 3)
"""The memory order in which a projection leaves the heads of an attention: rows outside."""


@dataclass(frozen=True, slots=True)
class Operand:
    """A tensor argument, filled with random numbers; its dtype is the entry's where None.

    ``transposed`` swaps the memory order of the last two dimensions, as a linear layer's
    weight has it; ``order`` gives all dimensions as they lie in memory, the outermost first.
    With ``every`` 2, each second element of a row of twice the length is taken.

    Not random are ``constant``, which is ``high`` everywhere, and ``steps``, its multiples from
    0 on. ``definite`` makes square matrices that are symmetric and positive definite.
    """

    shape: tuple[int, ...]
    fill: Literal["normal", "uniform", "integers", "definite", "constant", "steps"] = "normal"
    scale: float = 1.0
    shift: float = 0.0
    high: int = 0
    dtype: str | None = None
    transposed: bool = False
    # not in the repr, which seeds the numbers: the same ones in every layout
    order: tuple[int, ...] = field(default=(), repr=False)
    every: int = field(default=1, repr=False)


@dataclass(frozen=True, slots=True)
class Dtype:
    """A dtype argument: that of the entry, or the one named."""

    name: str | None = None


Argument: TypeAlias = "Operand | Dtype | bool | int | float | str | Sequence[Argument] | None"


@dataclass(frozen=True, slots=True)
class Entry:
    """One op with arguments of one size; ``detail`` tells entries of equal shapes apart.

    ``rarely`` is how many times as many inputs it takes in half precision: rounding to so few
    digits hides another order of summation in all but a few results.
    """

    op: str
    args: tuple[Argument, ...]
    dtypes: tuple[str, ...] = ALL
    kwargs: Mapping[str, Argument] = field(default_factory=dict)
    detail: str = ""
    rarely: int = 1

    def inputs(self, dtype: str, wanted: int) -> int:
        """How many inputs to run; one is enough where nothing in it is random."""
        if not _random((*self.args, *self.kwargs.values())):
            return 1
        return wanted * (self.rarely if dtype in HALF else 1)


def _random(arguments: Sequence[Argument]) -> bool:
    return any(
        one.fill not in ("constant", "steps")
        if isinstance(one, Operand)
        else isinstance(one, list | tuple) and _random(one)
        for one in arguments
    )


def named(op: str) -> str:
    """``tanh`` is ``aten.tanh.default``; an overload that is named stays."""
    return f"aten.{op}" if "." in op else f"aten.{op}.default"


def normal(*shape: int) -> Operand:
    """Normal numbers, contiguous."""
    return Operand(shape)


def positive(*shape: int) -> Operand:
    """Values from 0.5 to 1.5: safe below roots and logarithms."""
    return Operand(shape, fill="uniform", shift=0.5)


def small(*shape: int) -> Operand:
    """Weights of about the size that training leaves."""
    return Operand(shape, scale=0.1)


def gate_weights(gates: int, inputs: int, width: int) -> tuple[Operand, ...]:
    """What a recurrent layer or cell holds: weights of input and state, and their biases."""
    rows = gates * width
    return small(rows, inputs), small(rows, width), small(rows), small(rows)


def indices(high: int, *shape: int) -> Operand:
    """Whole numbers from 0 to below ``high``."""
    return Operand(shape, fill="integers", high=high, dtype="int64")


def constant(value: int, *shape: int, dtype: str | None = "int64") -> Operand:
    """The same number everywhere."""
    return Operand(shape, fill="constant", high=value, dtype=dtype)


def steps(step: int, count: int, dtype: str | None = "int64") -> Operand:
    """0, ``step``, twice ``step`` and so on, as where each of many pieces begins."""
    return Operand((count,), fill="steps", high=step, dtype=dtype)


def turned(*shape: int) -> Operand:
    """Normal numbers, the last two dimensions the other way round in memory."""
    return Operand(shape, transposed=True)
