"""How far two tensors lie apart, computed where the candidate lies, in bounded memory.

The definitions are those of `forkpoint.compare.metrics`, which computes the same with numpy and
spells them out: complex tensors are taken as their parts, differences are in float64 (exact for
integers), ULP distances are steps between bit patterns (Bruce Dawson, "Comparing Floating
Point Numbers", 2012).
"""

from __future__ import annotations

import json
import sys
from typing import Any, Iterator, Sequence, Tuple

import torch

from .digest import dtype_name

_CHUNK = 1 << 19  # elements at a time
_DIGIT = 16  # bits of an ULP distance that are counted in one pass
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
        for start in range(0, self.c.numel(), _CHUNK):
            part = self.c[start : start + _CHUNK]
            yield start, _Pair(self.b[start : start + _CHUNK].to(part.device), part)

    def texts(self, at: int) -> tuple[str, str]:
        return repr(self.b[at].item()), repr(self.c[at].item())


class _Pair:
    """A chunk of both tensors and what the measures share (one-dimensional, equal lengths)."""

    def __init__(self, b: torch.Tensor, c: torch.Tensor) -> None:
        self.floating = bool(b.dtype.is_floating_point)
        self.equal = b == c if b.dtype is torch.bool else _bits(b) == _bits(c)
        if self.floating:
            self._floats(b, c)
        else:
            self._integers(b, c)

    def _floats(self, b: torch.Tensor, c: torch.Tensor) -> None:
        b64, c64 = b.double(), c.double()
        self.finite = torch.isfinite(b64) & torch.isfinite(c64)
        self.alike = (torch.isnan(b64) & torch.isnan(c64)) | (torch.isinf(b64) & (b64 == c64))
        distance = (b64 - c64).abs().clamp_(max=_LARGEST)
        self.difference = torch.where(self.finite, distance, torch.zeros_like(distance))
        self.magnitude = b64.abs()
        steps = _ulps(b, c)
        self.ulps = torch.where(self.finite, steps, torch.zeros_like(steps))

    def _integers(self, b: torch.Tensor, c: torch.Tensor) -> None:
        self.finite = torch.ones_like(self.equal)
        self.alike = torch.zeros_like(self.equal)
        self.difference = _integer_difference(b, c)
        self.magnitude = b.double().abs()

    def close(self, limits: Limits | None) -> torch.Tensor:
        if limits is None:
            return self.equal
        atol, rtol = limits
        within = self.difference <= atol + rtol * self.magnitude
        return self.equal | (self.finite & within) | self.alike

    def max_rel(self) -> float:
        based = self.finite & (self.magnitude != 0)
        ratios = self.difference[based] / self.magnitude[based]
        return min(float(ratios.max()), _LARGEST) if ratios.numel() else 0.0


class _Total:
    """Sums and extremes over the chunks seen so far; places are flat indices."""

    def __init__(self) -> None:
        self.count = self.equal = self.finite = self.close = self.mismatches = 0
        self.sum_abs = self.max_abs = self.max_rel = 0.0
        self.max_ulp = 0
        self.first_mismatch: int | None = None
        self.first_largest: int | None = None
        self.first_unequal: int | None = None

    def add(self, start: int, pair: _Pair, limits: Limits | None) -> None:
        """Take in one chunk that begins at flat index ``start``."""
        self.count += pair.equal.numel()
        self.equal += int(pair.equal.sum())
        self.finite += int(pair.finite.sum())
        self.close += int(pair.close(limits).sum())
        self.sum_abs += float(pair.difference.sum())
        self.max_rel = max(self.max_rel, pair.max_rel())
        if pair.floating:
            self.max_ulp = max(self.max_ulp, int(pair.ulps.max()))
        mismatch = ~(pair.finite | pair.alike)
        self.mismatches += int(mismatch.sum())
        self._remember(start, pair, mismatch)

    def _remember(self, start: int, pair: _Pair, mismatch: torch.Tensor) -> None:
        if self.first_mismatch is None:
            self.first_mismatch = _first(mismatch, start)
        if self.first_unequal is None:
            self.first_unequal = _first(~pair.equal, start)
        largest = float(pair.difference.max())
        if largest > self.max_abs:
            self.max_abs = largest
            self.first_largest = _first(pair.difference == largest, start)

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
    """The distance of rank ceil(0.99 n), by counting 16-bit digits, the highest first."""
    rank = -(-99 * total.finite // 100)
    if not rank:
        return 0
    digits = max(1, -(-total.max_ulp.bit_length() // _DIGIT))
    prefix = 0
    for shift in range((digits - 1) * _DIGIT, -1, -_DIGIT):
        sums = torch.cumsum(_digit_counts(pairs, shift, prefix), 0).tolist()
        digit = next(i for i, below in enumerate(sums) if below >= rank)
        rank -= sums[digit - 1] if digit else 0
        prefix = (prefix << _DIGIT) | digit
    return prefix


def _digit_counts(pairs: _Pairs, shift: int, prefix: int) -> torch.Tensor:
    """How often each value of one 16-bit digit occurs among distances with this prefix."""
    counts = torch.zeros(1 << _DIGIT, dtype=torch.int64, device=pairs.c.device)
    for _, pair in pairs.chunks():
        shifted = pair.ulps[pair.finite] >> shift
        digits = shifted[(shifted >> _DIGIT) == prefix] & ((1 << _DIGIT) - 1)
        counts += torch.bincount(digits, minlength=1 << _DIGIT)
    return counts.cpu()


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.view(_INTS[tensor.element_size()])


def _ulps(b: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    """Steps between two floats, int64, at most 2**63 - 1; nonsense where one is not finite."""
    if dtype_name(b.dtype) == _UNSIGNED_FLOAT:
        return (b.view(torch.uint8).long() - c.view(torch.uint8).long()).abs()
    width = b.element_size() * 8
    mask = (1 << (width - 1)) - 1
    bits_b, bits_c = _bits(b).long(), _bits(c).long()
    steps_b, steps_c = bits_b & mask, bits_c & mask
    apart = steps_b + steps_c
    apart = torch.where(apart < 0, torch.full_like(apart, _LARGEST_ULP), apart)
    return torch.where((bits_b < 0) == (bits_c < 0), (steps_b - steps_c).abs(), apart)


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
