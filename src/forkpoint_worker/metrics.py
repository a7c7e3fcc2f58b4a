"""How far two tensors lie apart, computed where the candidate lies, in bounded memory.

Every number is defined in the text of ``forkpoint.compare.metrics``, which computes the same with
numpy; a test holds the two together. Chunks are small enough for a CPU's caches; one in which
every element is finite, by far the most, takes a path without masks.
"""

from __future__ import annotations

import json
import sys
from typing import Any, Callable, Iterator, Sequence, Tuple

import torch

LARGEST = sys.float_info.max
"""What a difference that overflows float64 counts as: JSON has no infinity."""

_CPU_CHUNK = 1 << 15  # elements: their float64 copies stay in a core's cache, on one thread
_DEVICE_CHUNK = 1 << 24
_DIGIT = 16
_INTS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_MAX = (1 << 63) - 1
_UNSIGNED = tuple(
    getattr(torch, name) for name in ("uint16", "uint32", "uint64") if hasattr(torch, name)
)

_Limits = Tuple[float, float]


def compare(baseline: torch.Tensor, candidate: torch.Tensor, limits: _Limits | None) -> str:
    """Metrics of two tensors of one shape and dtype, as the JSON text of `model.Metrics`.

    ``baseline`` may lie on another device; it is brought over in chunks. ``limits`` is
    (atol, rtol), or None where only equal bits are close.
    """
    with torch.no_grad():
        b, c = _components(baseline), _components(candidate)
        shape = tuple(c.shape)
        tally = _Tally(b.view(-1), c.view(-1), limits)
        return json.dumps(tally.result(shape))


def _components(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor as contiguous real numbers; complex ones get a last dimension of 2."""
    # never written to below: this may be the script's own memory
    tensor = tensor.detach().resolve_conj().resolve_neg().contiguous()
    return torch.view_as_real(tensor).contiguous() if tensor.is_complex() else tensor


class _Tally:
    """All figures of two flat tensors."""

    def __init__(self, b: torch.Tensor, c: torch.Tensor, limits: _Limits | None) -> None:
        self._b, self._c = b, c
        self._limits = limits
        self._floating = c.dtype.is_floating_point
        self._equal = self._finite = self._close = self._mismatches = 0
        self._sum = self._max_abs = self._max_rel = 0.0
        self._max_ulp = 0
        self._ulps = torch.zeros(1 << _DIGIT, dtype=torch.int64)
        self._first_mismatch: int | None = None
        self._first_largest: int | None = None
        self._first_unequal: int | None = None
        for start, part_b, part_c in self._chunks():
            self._add(start, part_b, part_c)

    def _chunks(self) -> Iterator[tuple[int, torch.Tensor, torch.Tensor]]:
        size = _CPU_CHUNK if self._c.device.type == "cpu" else _DEVICE_CHUNK
        for start in range(0, self._c.numel(), size):
            c = self._c[start : start + size]
            yield start, self._b[start : start + size].to(c.device), c

    def _add(self, start: int, b: torch.Tensor, c: torch.Tensor) -> None:
        count = c.numel()
        unequal = _bits(b) != _bits(c)
        differing = int(unequal.sum())
        self._equal += count - differing
        if differing and self._first_unequal is None:
            self._first_unequal = start + _first(unequal)
        if not self._floating:
            self._add_all(start, _integer_distance(b, c), b.double().abs(), differing)
            return
        wide_b = b.double()
        distance = (wide_b - c.double()).abs_()
        if not _finite(float(distance.sum())):  # NaN or infinity somewhere, or an overflow
            self._add_masked(start, b, c, ~unequal)
            return
        self._add_all(start, distance, wide_b.abs(), differing)
        self._add_ulps(_ulp_distance(b, c) if differing else distance[:0].long(), count)

    def _add_all(
        self, start: int, distance: torch.Tensor, magnitude: torch.Tensor, differing: int
    ) -> None:
        """A chunk of finite pairs; ``differing`` of them have other bits."""
        count = distance.numel()
        self._finite += count
        if not differing:
            self._close += count
            return
        self._add_distances(start, distance)
        ratios = distance / magnitude.masked_fill(magnitude == 0, float("inf"))
        self._max_rel = max(self._max_rel, min(float(ratios.max()), LARGEST))
        if self._limits is None:
            self._close += count - differing
        else:
            self._close += int((distance <= self._limit(magnitude)).sum())

    def _limit(self, magnitude: torch.Tensor) -> torch.Tensor:
        assert self._limits is not None
        atol, rtol = self._limits
        return magnitude * rtol + atol

    def _add_distances(self, start: int, distance: torch.Tensor) -> None:
        self._sum += float(distance.sum())
        top = int(distance.argmax())
        value = float(distance[top])
        if value > self._max_abs:
            self._max_abs, self._first_largest = value, start + top

    def _add_masked(
        self, start: int, b: torch.Tensor, c: torch.Tensor, equal: torch.Tensor
    ) -> None:
        """A chunk in which not everything is finite."""
        wide_b, wide_c = b.double(), c.double()
        finite = torch.isfinite(wide_b) & torch.isfinite(wide_c)
        same = (wide_b.isnan() & wide_c.isnan()) | (wide_b.isinf() & (wide_b == wide_c))
        distance = (wide_b - wide_c).abs_().clamp_(max=LARGEST).masked_fill_(~finite, 0.0)
        magnitude = wide_b.abs()
        self._finite += int(finite.sum())
        self._add_distances(start, distance)
        based = distance[finite & (magnitude != 0)] / magnitude[finite & (magnitude != 0)]
        if based.numel():
            self._max_rel = max(self._max_rel, min(float(based.max()), LARGEST))
        close = equal
        if self._limits is not None:
            close = equal | (finite & (distance <= self._limit(magnitude))) | same
        self._close += int(close.sum())
        mismatch = ~finite & ~same
        self._mismatches += int(mismatch.sum())
        if self._first_mismatch is None and bool(mismatch.any()):
            self._first_mismatch = start + _first(mismatch)
        self._add_ulps(_ulp_distance(b, c)[finite], int(finite.sum()))

    def _add_ulps(self, distances: torch.Tensor, count: int) -> None:
        """Count distances below 2**16; ``count`` may exceed what is given by pairs 0 apart."""
        self._ulps[0] += count - distances.numel()
        if not distances.numel():
            return
        top = int(distances.max())
        self._max_ulp = max(self._max_ulp, top)
        small = distances if top >> _DIGIT == 0 else distances[distances < 1 << _DIGIT]
        counts = torch.bincount(small).cpu()
        self._ulps[: counts.numel()] += counts

    def _p99(self) -> int:
        """The distance of rank ceil(0.99 n), exactly."""
        rank = -(-99 * self._finite // 100)
        if not rank:
            return 0
        below = torch.cumsum(self._ulps, 0)
        if int(below[-1]) >= rank:
            return int(torch.searchsorted(below, rank))
        prefix, digits = 0, -(-self._max_ulp.bit_length() // _DIGIT)
        for shift in range((digits - 1) * _DIGIT, -1, -_DIGIT):
            counts = self._digits(shift, prefix)
            digit = int(torch.searchsorted(torch.cumsum(counts, 0), rank))
            rank -= int(counts[:digit].sum())
            prefix = prefix << _DIGIT | digit
        return prefix

    def _digits(self, shift: int, prefix: int) -> torch.Tensor:
        """How often each value of one 16-bit digit occurs among distances with this prefix."""
        counts = torch.zeros(1 << _DIGIT, dtype=torch.int64)
        for _, b, c in self._chunks():
            finite = torch.isfinite(b.double()) & torch.isfinite(c.double())
            shifted = _ulp_distance(b, c)[finite] >> shift
            here = shifted[(shifted >> _DIGIT) == prefix] & ((1 << _DIGIT) - 1)
            counts += torch.bincount(here, minlength=1 << _DIGIT).cpu()
        return counts

    def result(self, shape: Sequence[int]) -> dict[str, Any]:
        """All figures, as `model.Metrics` has them."""
        count = self._c.numel()
        return {
            "count": count,
            "bit_equal": self._equal == count,
            "equal_fraction": self._equal / count if count else 1.0,
            "max_abs": self._max_abs,
            "mean_abs": min(self._sum / self._finite, LARGEST) if self._finite else 0.0,
            "max_rel": self._max_rel,
            "max_ulp": self._max_ulp if self._floating else None,
            "p99_ulp": self._p99() if self._floating else None,
            "close_count": self._close,
            "nonfinite_mismatches": self._mismatches,
            "worst": self._worst(shape),
        }

    def _worst(self, shape: Sequence[int]) -> dict[str, Any] | None:
        places = (self._first_mismatch, self._first_largest, self._first_unequal)
        at = next((place for place in places if place is not None), None)
        if at is None:
            return None
        text: Callable[[Any], str] = repr
        return {
            "index": _unravel(at, shape),
            "baseline": text(self._b[at].item()),
            "candidate": text(self._c[at].item()),
        }


def _unravel(flat: int, shape: Sequence[int]) -> list[int]:
    index = []
    for size in reversed(shape):
        flat, rest = divmod(flat, size)
        index.append(rest)
    return index[::-1]


def _first(mask: torch.Tensor) -> int:
    return int(mask.to(torch.uint8).argmax())


def _finite(value: float) -> bool:
    return value - value == 0.0


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    """The elements' bits as signed integers (a bool as its byte)."""
    return tensor.view(_INTS[tensor.element_size()])


def _ordered(tensor: torch.Tensor) -> torch.Tensor:
    """Integers as int64 in their order (of unsigned 64-bit ones, shifted by 2**63)."""
    if tensor.dtype in _UNSIGNED:
        bits = _bits(tensor).to(torch.int64)
        width = tensor.element_size() * 8
        return bits ^ -(1 << 63) if width == 64 else bits & ((1 << width) - 1)
    return tensor.to(torch.int64)


def _integer_distance(b: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    """|b - c| of integers, exact before it is rounded to float64."""
    low, high = _ordered(b), _ordered(c)
    distance = torch.maximum(low, high) - torch.minimum(low, high)  # wraps beyond 2**63 - 1
    return torch.where(distance < 0, distance.double() + 2.0**64, distance.double())


def _ulp_distance(b: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    """The number of representable values from one to the other, int64, at most 2**63 - 1."""
    keys = [_key(_bits(tensor), tensor) for tensor in (b, c)]
    distance = (keys[0] - keys[1]).abs_()
    if b.element_size() == 8:  # the difference of two 64-bit keys may wrap
        apart = (keys[0] < 0) != (keys[1] < 0)
        wide = keys[0].abs() + keys[1].abs()
        distance = torch.where(apart, wide.masked_fill(wide < 0, _MAX), distance)
    return distance


def _key(bits: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    """Sign and magnitude of a float's bits as an integer that grows with the number."""
    width = tensor.element_size() * 8
    if str(tensor.dtype) == "torch.float8_e8m0fnu":  # no sign bit
        return bits.to(torch.int64) & 0xFF
    magnitude = bits.to(torch.int64) & ((1 << (width - 1)) - 1)
    return torch.where(bits < 0, -magnitude, magnitude)
