"""Numbers that have the same bits in every torch release and on every device.

A fill is a hash of each element's place (SplitMix64 over int64, which wraps), turned into a
number by exact steps: integers below 2**53 and a few IEEE multiplications and additions in
float64, one operation each, then one rounding to the dtype that is wanted.
"""

from __future__ import annotations

import collections
import math
from typing import Any, Mapping

import torch

from .digest import GOLDEN, MIX_1, MIX_2, mix, shift, signed

_MASK = (1 << 64) - 1
_PIECE = 16  # bits of the uniform integers that a normal number is the sum of
_PIECES = 4  # of these in one hash; two hashes are used
_EVERY_SECOND = 0x0000FFFF0000FFFF
_HALF = 0xFFFFFFFF
_DEVIATION = math.sqrt(12 / (2 * _PIECES))  # of one, where the sum is in units of 2**16
_BLOCK = 1 << 15  # elements at a time: what is computed of them stays in the cache
_ROOM = 1 << 28  # bytes of numbers that are remembered


def fill(recipe: Mapping[str, Any], dtype: torch.dtype, count: int) -> torch.Tensor:
    """``count`` elements of ``dtype`` on the CPU, as the protocol says; not to be written to.

    ``normal`` is a sum of eight uniform numbers: mean 0, deviation 1 before ``scale`` and
    ``shift``, and never beyond 4.9 deviations. ``steps`` are the multiples of ``step`` from 0 on.
    ``definite`` fills symmetric matrices of ``size`` rows, one after the other, whose diagonal is
    larger than the rest of its row. Raises `ValueError` for an unknown kind.
    """
    kind = recipe["kind"]
    if kind == "constant":
        return torch.full((count,), _constant(recipe["value"]), dtype=dtype, device="cpu")
    if kind not in ("normal", "uniform", "integers", "definite", "steps"):
        raise ValueError("there is no fill of kind %r" % kind)
    return _remembered.first(recipe, dtype, count)


class _Beginnings:
    """Beginnings of sequences, each as long as it was ever asked for; the latest ones only.

    What a sequence begins with does not depend on its length, so that calls at many sizes have
    most of their numbers in common.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._known: collections.OrderedDict[str, torch.Tensor] = collections.OrderedDict()
        self._size = 0

    def first(self, recipe: Mapping[str, Any], dtype: torch.dtype, count: int) -> torch.Tensor:
        """The first ``count`` numbers."""
        key = "%s %r" % (dtype, sorted(recipe.items()))
        known = self._known.pop(key, None)
        if known is None:
            known = torch.empty(0, dtype=dtype, device="cpu")
        self._size -= _bytes(known)
        if known.numel() < count:
            known = _continued(recipe, known, count)
        self._known[key] = known
        self._size += _bytes(known)
        while self._size > self._room:
            self._size -= _bytes(self._known.popitem(last=False)[1])
        return known[:count]


_remembered = _Beginnings(_ROOM)


def _bytes(tensor: torch.Tensor) -> int:
    return int(tensor.numel() * tensor.element_size())


def _continued(recipe: Mapping[str, Any], known: torch.Tensor, count: int) -> torch.Tensor:
    """The sequence, ``count`` numbers of it, of which the first ones are known."""
    whole = torch.empty(count, dtype=known.dtype, device="cpu")
    whole[: known.numel()] = known
    for start in range(known.numel(), count, _BLOCK):
        stop = min(start + _BLOCK, count)
        whole[start:stop] = _drawn(recipe, known.dtype, start, stop)
    return whole


def _drawn(recipe: Mapping[str, Any], dtype: torch.dtype, start: int, stop: int) -> torch.Tensor:
    kind = recipe["kind"]
    if kind == "steps":
        return _places(start, stop).mul_(int(recipe["step"])).to(dtype)
    seed = int(recipe["seed"])
    if kind == "definite":
        return _definite(seed, int(recipe["size"]), start, stop).to(dtype)
    if kind == "integers":
        return _integers(recipe, start, stop).to(dtype)
    parts = 2 if dtype.is_complex else 1
    draw = _normal if kind == "normal" else _uniform
    numbers = draw(seed, start * parts, stop * parts)
    numbers = numbers * float(recipe.get("scale", 1.0))
    numbers = numbers + float.fromhex(recipe.get("shift", "0x0.0p+0"))
    if parts == 2:
        return torch.view_as_complex(numbers.view(-1, 2)).to(dtype)
    return numbers.to(dtype)


def _constant(value: Mapping[str, Any]) -> bool | int | float:
    if "float" in value:
        return float.fromhex(value["float"])
    found: bool | int = value["bool"] if "bool" in value else value["int"]
    return found


def _places(start: int, stop: int) -> torch.Tensor:
    return torch.arange(start, stop, dtype=torch.int64, device="cpu")


def _hash(seed: int, lane: int, start: int, stop: int) -> torch.Tensor:
    """A pseudo-random int64 for each place."""
    return _hashed(seed, lane, _places(start, stop))


def _hashed(seed: int, lane: int, z: torch.Tensor) -> torch.Tensor:
    """The same for any places, which are written to."""
    first = mix((seed * 2 + lane + 1) & _MASK)
    z.mul_(signed(GOLDEN)).add_(signed(first))
    z.bitwise_xor_(shift(z, 30)).mul_(signed(MIX_1))
    z.bitwise_xor_(shift(z, 27)).mul_(signed(MIX_2))
    return z.bitwise_xor_(shift(z, 31))


def _integers(recipe: Mapping[str, Any], start: int, stop: int) -> torch.Tensor:
    low, high = int(recipe["low"]), int(recipe["high"])
    if high <= low:
        raise ValueError("integers from %d to below %d: there are none" % (low, high))
    return shift(_hash(int(recipe["seed"]), 0, start, stop), 1) % (high - low) + low


def _uniform(seed: int, start: int, stop: int) -> torch.Tensor:
    """From 0 to below 1."""
    return shift(_hash(seed, 0, start, stop), 11).double() * 2.0**-53


def _definite(seed: int, size: int, start: int, stop: int) -> torch.Tensor:
    """From -0.5 to below 0.5 beside the diagonal, ``size`` more on it.

    A place below the diagonal has the number of the one above, so that matrices are symmetric.
    """
    whole = size * size
    at = _places(start, stop)
    place = at % whole
    row, column = torch.div(place, size, rounding_mode="floor"), place % size
    above = torch.minimum(row, column) * size + torch.maximum(row, column)
    numbers = shift(_hashed(seed, 0, at - place + above), 11).double() * 2.0**-53 - 0.5
    return numbers + (row == column) * size


def _normal(seed: int, start: int, stop: int) -> torch.Tensor:
    # the 16-bit pieces are added two at a time, in the two halves of each int64
    total = torch.zeros(stop - start, dtype=torch.int64, device="cpu")
    for lane in range(2):
        bits = _hash(seed, lane, start, stop)
        total.add_(bits & _EVERY_SECOND)
        total.add_((bits >> _PIECE).bitwise_and_(_EVERY_SECOND))
    total = (total & _HALF).add_(total >> 32)
    middle = _PIECES * ((1 << _PIECE) - 1)
    return (total - middle).double() * (_DEVIATION * 2.0**-_PIECE)
