"""How far two tensors lie apart, computed where the candidate lies, in bounded memory.

The definitions are those of `forkpoint.compare.metrics`, which computes the same with numpy and
spells them out: complex tensors are taken as their parts, differences are in float64 (exact for
integers), ULP distances are steps between bit patterns (Bruce Dawson, "Comparing Floating
Point Numbers", 2012).
"""

from __future__ import annotations

import json
import math
import sys
from typing import Any, Iterator, Sequence, Tuple

import torch

from .digest import dtype_name

_CPU_CHUNK = 1 << 17  # elements at a time: what is computed of them stays in the cache
_DEVICE_CHUNK = 1 << 22
_DIGIT = 16  # bits of an ULP distance that are counted in one pass
_DIGITS = 1 << _DIGIT
_LARGEST = sys.float_info.max
_LARGEST_ULP = (1 << 63) - 1
_INTS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_UNSIGNED_FLOAT = "float8_e8m0fnu"
_MEASURABLE = frozenset((
    "bool", "uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64",
    "float16", "bfloat16", "float32", "float64", "complex64", "complex128",
    "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", _UNSIGNED_FLOAT,
))  # fmt: skip

Limits = Tuple[float, float]


def measurable(dtype: torch.dtype) -> bool:
    """Whether elements of this dtype are numbers one by one (packed and quantized are not)."""
    return dtype_name(dtype) in _MEASURABLE


def compare(baseline: torch.Tensor, candidate: torch.Tensor, limits: Limits | None) -> str:
    """Metrics of two tensors of one shape and dtype, as the JSON text of `model.Metrics`.

    ``baseline`` may lie on another device; it is brought over in chunks. ``limits`` is
    (atol, rtol), or None for bit equality.
    """
    with torch.no_grad():
        pairs = _Pairs(_parts(baseline), _parts(candidate.detach()))
        total = _Total()
        for start, pair in pairs.chunks():
            total.add(start, pair, limits)
        return json.dumps(_figures(pairs, total))


def _parts(tensor: torch.Tensor) -> torch.Tensor:
    """A contiguous tensor of real numbers; complex ones get a last dimension of two."""
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor.resolve_conj())
    return tensor.resolve_neg().contiguous()


class _Pairs:
    """Two flat tensors, walked through in chunks on the device of the candidate."""

    def __init__(self, baseline: torch.Tensor, candidate: torch.Tensor) -> None:
        self.shape = tuple(candidate.shape)
        self.floating = bool(candidate.dtype.is_floating_point)
        self.b = baseline.view(-1)
        self.c = candidate.view(-1)

    def chunks(self) -> Iterator[tuple[int, _Pair]]:
        for start, b, c in self._split():
            yield start, _Pair(b, c)

    def distances(self, *, finite: bool) -> Iterator[torch.Tensor]:
        """ULP distances of the finite elements, in parts; ``finite``: whether all of them are."""
        for _, b, c in self._split():
            steps = _ulps(b, c)
            yield steps if finite else steps[_finite(b.double(), c.double())]

    def _split(self) -> Iterator[tuple[int, torch.Tensor, torch.Tensor]]:
        size = _CPU_CHUNK if self.c.device.type == "cpu" else _DEVICE_CHUNK
        for start in range(0, self.c.numel(), size):
            part = self.c[start : start + size]
            yield start, self.b[start : start + size].to(part.device), part

    def texts(self, at: int) -> tuple[str, str]:
        return repr(self.b[at].item()), repr(self.c[at].item())


class _Pair:
    """A chunk of both tensors and what the measures share (one-dimensional, equal lengths).

    ``finite`` and ``alike`` (both infinite or NaN, in the same way) are None where every element
    is finite, which saves most of the work; ``largest`` is the largest difference.
    """

    finite: torch.Tensor | None = None
    alike: torch.Tensor | None = None

    def __init__(self, b: torch.Tensor, c: torch.Tensor) -> None:
        self.floating = bool(b.dtype.is_floating_point)
        self.equal = b == c if b.dtype is torch.bool else _bits(b) == _bits(c)
        if self.floating:
            self._floats(b, c)
        else:
            self.difference = _integer_difference(b, c)
            self.magnitude = b.double().abs()
            self.largest = float(self.difference.max())

    def _floats(self, b: torch.Tensor, c: torch.Tensor) -> None:
        b64, c64 = b.double(), c.double()
        self.magnitude = b64.abs()
        self.difference = (b64 - c64).abs_()
        self.ulps = _ulps(b, c)
        self.largest = float(self.difference.max())
        if math.isfinite(self.largest):
            return
        self.finite = _finite(b64, c64)
        self.alike = (torch.isnan(b64) & torch.isnan(c64)) | (torch.isinf(b64) & (b64 == c64))
        self.difference = _where(self.finite, self.difference.clamp_(max=_LARGEST))
        self.ulps = _where(self.finite, self.ulps)
        self.largest = float(self.difference.max())

    @property
    def distances(self) -> torch.Tensor:
        """ULP distances of the elements that are finite on both sides."""
        return self.ulps if self.finite is None else self.ulps[self.finite]

    def close(self, limits: Limits | None) -> int:
        """How many elements are within the limits."""
        if limits is None:
            return _count(self.equal)
        atol, rtol = limits
        if self.finite is None and self.largest <= atol:
            return int(self.equal.numel())
        within = self.difference <= (self.magnitude * rtol).add_(atol)
        if self.finite is None or self.alike is None:
            return _count(within)  # equal elements are: they lie 0 apart
        return _count(self.equal | (self.finite & within) | self.alike)

    def max_rel(self) -> float:
        """The largest ratio of a difference to the baseline, where that is not 0."""
        if self.finite is None:
            largest = float((self.difference / self.magnitude).max())
            if math.isfinite(largest):  # nothing was divided by 0: that gives inf or NaN
                return largest
        based = self.magnitude != 0
        if self.finite is not None:
            based &= self.finite
        return min(float(_where(based, self.difference / self.magnitude).max()), _LARGEST)


def _finite(b64: torch.Tensor, c64: torch.Tensor) -> torch.Tensor:
    return torch.isfinite(b64) & torch.isfinite(c64)


def _where(mask: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """The values, and 0 outside of the mask."""
    return torch.where(mask, values, torch.zeros_like(values))


class _Total:
    """Sums and extremes over the chunks seen so far; places are flat indices.

    ``near`` counts how often each ULP distance below 2**16 occurs; the last place, all beyond.
    """

    def __init__(self) -> None:
        self.count = self.equal = self.finite = self.close = self.mismatches = 0
        self.sum_abs = self.max_abs = self.max_rel = 0.0
        self.max_ulp = 0
        self.near: torch.Tensor | None = None
        self.first_mismatch: int | None = None
        self.first_largest: int | None = None
        self.first_unequal: int | None = None

    def add(self, start: int, pair: _Pair, limits: Limits | None) -> None:
        """Take in one chunk that begins at flat index ``start``."""
        self.count += pair.equal.numel()
        self.equal += _count(pair.equal)
        self.finite += pair.equal.numel() if pair.finite is None else _count(pair.finite)
        self.close += pair.close(limits)
        self.sum_abs += float(pair.difference.sum())
        self.max_rel = max(self.max_rel, pair.max_rel())
        if pair.floating:
            self.max_ulp = max(self.max_ulp, int(pair.ulps.max()))
            self._tally(pair.distances)
        if pair.finite is not None and pair.alike is not None:
            mismatch = ~(pair.finite | pair.alike)
            self.mismatches += _count(mismatch)
            if self.first_mismatch is None:
                self.first_mismatch = _first(mismatch, start)
        self._remember(start, pair)

    def _tally(self, distances: torch.Tensor) -> None:
        counts = torch.bincount(distances.clamp(max=_DIGITS))
        if self.near is None:
            self.near = counts.new_zeros(_DIGITS + 1)
        self.near[: counts.numel()] += counts

    def _remember(self, start: int, pair: _Pair) -> None:
        if self.first_unequal is None:
            self.first_unequal = _first(~pair.equal, start)
        if pair.largest > self.max_abs:
            self.max_abs = pair.largest
            self.first_largest = _first(pair.difference == pair.largest, start)

    def worst(self) -> int | None:
        """A non-finite mismatch goes before any difference, and that before -0 against +0."""
        candidates = (self.first_mismatch, self.first_largest, self.first_unequal)
        return next((at for at in candidates if at is not None), None)


def _figures(pairs: _Pairs, total: _Total) -> dict[str, Any]:
    count, at = total.count, total.worst()
    return {
        "count": count,
        "bit_equal": total.equal == count,
        "equal_fraction": total.equal / count if count else 1.0,
        "max_abs": total.max_abs,
        "mean_abs": min(total.sum_abs / total.finite, _LARGEST) if total.finite else 0.0,
        "max_rel": total.max_rel,
        "max_ulp": total.max_ulp if pairs.floating else None,
        "p99_ulp": _p99(pairs, total) if pairs.floating else None,
        "close_count": total.close,
        "nonfinite_mismatches": total.mismatches,
        "worst": None if at is None else _worst(pairs, at),
    }


def _worst(pairs: _Pairs, at: int) -> dict[str, Any]:
    baseline, candidate = pairs.texts(at)
    return {"index": _index(at, pairs.shape), "baseline": baseline, "candidate": candidate}


def _index(flat: int, shape: Sequence[int]) -> list[int]:
    index = []
    for size in reversed(shape):
        flat, rest = divmod(flat, size)
        index.append(rest)
    return index[::-1]


def _p99(pairs: _Pairs, total: _Total) -> int:
    """The distance of rank ceil(0.99 n): below 2**16 as tallied already, else by more looks."""
    rank = -(-99 * total.finite // 100)
    if not rank or total.near is None:
        return 0
    digit, _ = _ranked(total.near, rank)
    return digit if digit < _DIGITS else _far(pairs, total, rank)


def _far(pairs: _Pairs, total: _Total, rank: int) -> int:
    """The distance of this rank, by counting 16-bit digits, the highest first."""
    digits = max(1, -(-total.max_ulp.bit_length() // _DIGIT))
    prefix = 0
    for shift in range((digits - 1) * _DIGIT, -1, -_DIGIT):
        counts = _digit_counts(pairs, shift, prefix, finite=total.finite == total.count)
        digit, rank = _ranked(counts, rank)
        prefix = (prefix << _DIGIT) | digit
    return prefix


def _ranked(counts: torch.Tensor, rank: int) -> tuple[int, int]:
    """The place at which counts, added up, reach a rank; and the rank among those there."""
    sums = torch.cumsum(counts, 0)
    digit = int((sums < rank).sum())
    return digit, rank - (int(sums[digit - 1]) if digit else 0)


def _digit_counts(pairs: _Pairs, shift: int, prefix: int, *, finite: bool) -> torch.Tensor:
    """How often each value of one 16-bit digit occurs among distances with this prefix."""
    counts = torch.zeros(_DIGITS + 2, dtype=torch.int64, device=pairs.c.device)
    for distances in pairs.distances(finite=finite):
        digits = (distances >> shift).sub_(prefix << _DIGIT)
        # other prefixes lie below or above; a bin for each costs less than picking them out
        bins = digits.clamp_(-1, _DIGITS).add_(1)
        counts += torch.bincount(bins, minlength=_DIGITS + 2)
    return counts[1:-1].cpu()


def _count(mask: torch.Tensor) -> int:
    return int(torch.count_nonzero(mask))


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.view(_INTS[tensor.element_size()])


def _ulps(b: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    """Steps between two floats, int64, at most 2**63 - 1; nonsense where one is not finite."""
    if dtype_name(b.dtype) == _UNSIGNED_FLOAT:
        return (b.view(torch.uint8).long() - c.view(torch.uint8).long()).abs()
    if b.element_size() < 8:
        return _order(b).sub_(_order(c)).abs_()
    bits_b, bits_c = _bits(b), _bits(c)
    steps_b, steps_c = bits_b & _LARGEST_ULP, bits_c & _LARGEST_ULP
    apart = steps_b + steps_c
    apart = torch.where(apart < 0, torch.full_like(apart, _LARGEST_ULP), apart)
    return torch.where((bits_b < 0) == (bits_c < 0), (steps_b - steps_c).abs(), apart)


def _order(tensor: torch.Tensor) -> torch.Tensor:
    """Floats of less than 64 bits as int64 whose differences are steps; both zeros are 0."""
    bits = _bits(tensor)
    width = tensor.element_size() * 8
    sign = bits >> (width - 1)  # -1 or 0
    bits = bits & ((1 << (width - 1)) - 1)  # torch 2.0 takes no number for &=
    return bits.bitwise_xor_(sign).sub_(sign).long()  # negated where the sign is set


def _integer_difference(b: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    """The exact distance of integers, rounded once to float64."""
    if b.dtype is torch.bool:
        return (b != c).double()
    if dtype_name(b.dtype) == "uint64":
        b, c = (t.view(torch.int64) ^ (-1 << 63) for t in (b, c))  # the order of int64
    b, c = b.long(), c.long()
    distance = torch.maximum(b, c) - torch.minimum(b, c)  # unsigned, by wrapping around
    halved = ((distance >> 1) & _LARGEST_ULP) | (distance & 1)  # rounds as the whole would
    return torch.where(distance < 0, halved.double() * 2, distance.double())


def _first(mask: torch.Tensor, start: int) -> int | None:
    found = torch.nonzero(mask)
    return start + int(found[0]) if found.numel() else None
