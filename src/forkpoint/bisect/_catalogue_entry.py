"""What an entry of the catalogue is made of: an op, its arguments, and how they lie in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

ALL = ("float32", "bfloat16", "float16", "float64")
FLOATS = ("float32", "float64")

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
    """

    shape: tuple[int, ...]
    fill: Literal["normal", "uniform", "integers"] = "normal"
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
    """One op with arguments of one size; ``detail`` tells entries of equal shapes apart."""

    op: str
    args: tuple[Argument, ...]
    dtypes: tuple[str, ...] = ALL
    kwargs: Mapping[str, Argument] = field(default_factory=dict)
    detail: str = ""


def normal(*shape: int) -> Operand:
    """Normal numbers, contiguous."""
    return Operand(shape)


def positive(*shape: int) -> Operand:
    """Values from 0.5 to 1.5: safe below roots and logarithms."""
    return Operand(shape, fill="uniform", shift=0.5)


def indices(high: int, *shape: int) -> Operand:
    """Whole numbers from 0 to below ``high``."""
    return Operand(shape, fill="integers", high=high, dtype="int64")
