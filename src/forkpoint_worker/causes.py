"""What became of an op call that gave others than the whole call: is it the cause?"""

from __future__ import annotations

from typing import Callable, Iterator, Mapping, NamedTuple, Sequence

import torch

from .layouts import same_bits
from .pairs import EQUAL, SHAPES, Fold, Pairs, pair
from .proof import Many, Side, other_numbers, prove
from .trace import Tensors

BREAKS = "breaks"
ALONE = "a result without rows, made of rows"

Folds = Mapping[int, Fold]


class Found(NamedTuple):
    """What became of a call, what was shown of a cause, and its unequal outputs: pairs of what
    should be equal."""

    verdict: str
    proof: str = ""
    parts: Sequence[tuple[torch.Tensor, torch.Tensor]] = ()


def of_rows(whole: Tensors, varied: Tensors) -> Found:
    """Of a call with other rows than the whole call has, or with the same in another order."""
    pairs = pair(whole.inputs, varied.inputs)
    if isinstance(pairs, str):
        return Found(pairs)
    folds = _outputs(whole, varied, pairs)
    if isinstance(folds, str):
        return Found(folds)
    one, two = folds

    def parts(a: Many, b: Many) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        return ((one[n].rows(a[n])[pairs.order], two[n].rows(b[n])) for n in one)

    unequal = [both for both in parts(whole.outputs, varied.outputs) if not same_bits(*both)]
    if not unequal:
        return Found(EQUAL)
    said, proven = prove(
        Side(whole, list(_altered(whole.inputs, pairs.whole, one))),
        Side(varied, list(_altered(varied.inputs, pairs.varied, two))),
        lambda a, b: max((apart(*both) for both in parts(a, b)), default=0.0),
        rows=True,
    )
    return Found(BREAKS, said, unequal) if proven else Found(said, "", unequal)


def _outputs(whole: Tensors, varied: Tensors, pairs: Pairs) -> tuple[Folds, Folds] | str:
    """How the rows lie in the outputs, or why that is not known."""
    if len(whole.outputs) != len(varied.outputs):
        return SHAPES
    one: dict[int, Fold] = {}
    two: dict[int, Fold] = {}
    for slot, (a, b) in enumerate(zip(whole.outputs, varied.outputs)):
        dim = _dim(a, b, pairs)
        if dim is not None:
            one[slot], two[slot] = (Fold(dim, size) for size in pairs.sizes)
        elif a.shape != b.shape:
            return SHAPES
        elif not same_bits(a, b):
            return ALONE
    return one, two


def _dim(whole: torch.Tensor, varied: torch.Tensor, pairs: Pairs) -> int | None:
    """The dimension of an output that holds the rows."""
    if whole.dim() != varied.dim():
        return None
    one, two = pairs.sizes
    fitting = [
        dim
        for dim, (a, b) in enumerate(zip(whole.shape, varied.shape))
        if a % one == 0 and b % two == 0 and a // one == b // two
    ]
    changed = [dim for dim in range(whole.dim()) if whole.shape[dim] != varied.shape[dim]]
    if changed:
        return changed[0] if len(changed) == 1 and changed[0] in fitting else None
    if one != two:
        return None
    likely = {fold.dim for fold in pairs.whole.values()}
    return min(fitting, key=lambda dim: (dim not in likely, dim), default=None)


def _altered(
    inputs: Many, folds: Folds, given: Folds
) -> Iterator[tuple[Many, Callable[[Many, Many], bool]]]:
    """Every other row is another: the outputs of those between must stay."""
    size = next(iter(folds.values())).size
    generator = torch.Generator().manual_seed(size)
    for start in (0, 1) if size > 1 else ():
        found = list(inputs)
        for slot, fold in folds.items():
            rows = fold.rows(inputs[slot]).clone()
            rows[start::2] = other_numbers(rows, generator)[start::2]
            found[slot] = fold.put(rows, inputs[slot])
        rest = slice(1 - start, None, 2)

        def kept(one: Many, two: Many, rest: slice = rest) -> bool:
            return all(
                same_bits(fold.rows(one[n])[rest], fold.rows(two[n])[rest])
                for n, fold in given.items()
            )

        yield found, kept


def apart(one: torch.Tensor, two: torch.Tensor) -> float:
    """The largest difference of two tensors of one shape; of numbers and what is none, infinite."""
    if one.dtype.is_complex:
        one, two = torch.view_as_real(one), torch.view_as_real(two)
    a, b = one.to(torch.float64), two.to(torch.float64)
    same = (a == b) | (a.isnan() & b.isnan())
    found = torch.where(same, torch.zeros_like(a), (a - b).abs()).nan_to_num(nan=float("inf"))
    return float(found.max()) if found.numel() else 0.0


def of_places(
    calls: tuple[Tensors, Tensors],
    masks: tuple[Many, Many],
    data: Callable[[int, Many], Sequence[torch.Tensor]],
) -> Found:
    """Of a call with equal data and other padding.

    ``masks`` are True for what is data in the inputs of the whole and of the varied call, and
    ``data`` gives what is data in the outputs of the one (0) or the other (1).
    """
    both = list(zip(data(0, calls[0].outputs), data(1, calls[1].outputs)))
    unequal = [pair for pair in both if not same_bits(*pair)]
    if not unequal:
        return Found(EQUAL)
    sides = []
    for number, (tensors, some) in enumerate(zip(calls, masks)):
        generator = torch.Generator().manual_seed(number)
        other = [
            torch.where(mask, tensor, other_numbers(tensor, generator))
            for tensor, mask in zip(tensors.inputs, some)
        ]

        def kept(one: Many, two: Many, number: int = number) -> bool:
            return all(map(same_bits, data(number, one), data(number, two)))

        sides.append(Side(tensors, [(other, kept)]))
    one, two = sides
    said, proven = prove(
        one, two, lambda a, b: max(map(apart, data(0, a), data(1, b)), default=0.0), rows=False
    )
    return Found(BREAKS, said, unequal) if proven else Found(said, "", unequal)
