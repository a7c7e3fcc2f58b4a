"""How far two tensors lie apart, computed where the candidate lies, in bounded memory.

The definitions are those of `forkpoint.model.Metrics`; forkpoint.compare.metrics computes the same
with numpy. Differences are taken in float64. The ULP distance of two floats is the number of
representable values between them: the difference of their bit patterns read as sign and
magnitude, with both zeros at 0 (Bruce Dawson, "Comparing Floating Point Numbers", 2012).
"""

from __future__ import annotations

import json
from typing import Any, Sequence

import torch

_CHUNK = 1 << 20  # elements at a time
_SMALL = 1 << 16  # ULP distances below are counted, larger ones kept
_INTS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_MAX = (1 << 63) - 1


def compare(
    baseline: torch.Tensor, candidate: torch.Tensor, limits: tuple[float, float] | None
) -> str:
    """Metrics of two tensors of one shape and dtype, as the JSON text of `model.Metrics`.

    ``baseline`` may lie on another device; it is brought over in chunks. ``limits`` is
    (atol, rtol), or None for bit equality.
    """
    tally = _Tally(baseline.dtype, limits)
    with torch.no_grad():
        flat_b, flat_c = baseline.reshape(-1), candidate.detach().contiguous().view(-1)
        for start in range(0, flat_c.numel(), _CHUNK):
            part = flat_c[start : start + _CHUNK]
            tally.add(flat_b[start : start + _CHUNK].to(part.device), part, start)
    return json.dumps(tally.result(tuple(candidate.shape)))


class _Tally:
    def __init__(self, dtype: torch.dtype, limits: tuple[float, float] | None) -> None:
        self._floating = dtype.is_floating_point
        self._complex = dtype.is_complex
        self._limits = limits
        self.count = self.equal = self.close = self.finite = self.odd = 0
        self.sum_abs = self.max_abs = self.max_rel = 0.0
        self._worst: _Worst | None = None
        self._ulps = _Ulps()

    def add(self, b: torch.Tensor, c: torch.Tensor, start: int) -> None:
        """Take in the elements from ``start`` on."""
        self.count += b.numel()
        same = _same_bits(b, c)
        self.equal += int(same.sum())
        if self._limits is None:
            self.close += int(same.sum())
        if not self._complex:
            self._add_real(b, c, start, same)
        else:
            self._add_complex(b, c, start, same)

    def _add_real(self, b, c, start, same):
        wide_b, wide_c = b.double(), c.double()
        finite = torch.isfinite(wide_b) & torch.isfinite(wide_c)
        nan = torch.isnan(wide_b) & torch.isnan(wide_c)
        alike = nan | ((wide_b == wide_c) & ~finite)
        self.odd += int((~finite & ~alike).sum())
        self._spread((wide_c - wide_b).abs(), wide_b.abs(), finite, alike)
        self._remember(b, c, (wide_c - wide_b).abs(), finite, alike | same, start)
        if self._floating:
            self._ulps.add(_ulp_distance(b, c)[finite])

    def _add_complex(self, b, c, start, same):
        real_b, real_c = torch.view_as_real(b).double(), torch.view_as_real(c).double()
        finite = (torch.isfinite(real_b) & torch.isfinite(real_c)).all(-1)
        part = (torch.isnan(real_b) & torch.isnan(real_c)) | (real_b == real_c)
        alike = part.all(-1) & ~finite
        self.odd += int((~finite & ~alike).sum())
        distance = torch.hypot(*(real_c - real_b).unbind(-1))
        self._spread(distance, torch.hypot(*real_b.unbind(-1)), finite, alike)
        self._remember(b, c, distance, finite, alike | same, start)
        parts = _ulp_distance(torch.view_as_real(b), torch.view_as_real(c)).amax(-1)
        self._ulps.add(parts[finite])

    def _spread(self, distance, size, finite, alike):
        if self._limits is not None:
            atol, rtol = self._limits
            close = (distance <= atol + rtol * size) & finite
            self.close += int((close | alike).sum())
        distance, size = distance[finite], size[finite]
        self.finite += distance.numel()
        if distance.numel():
            self.sum_abs += float(distance.sum())
            self.max_abs = max(self.max_abs, float(distance.max()))
            based = size > 0
            if bool(based.any()):
                self.max_rel = max(self.max_rel, float((distance[based] / size[based]).max()))

    def _remember(self, b, c, distance, finite, alike, start):
        """The worst element: a pair that is not both finite beats any distance."""
        score = torch.where(finite, distance, torch.where(alike, 0.0, float("inf")).to(distance))
        top = int(score.argmax())
        value = float(score[top])
        if value > 0 and (self._worst is None or value > self._worst[0]):
            self._worst = (value, start + top, _text(b[top]), _text(c[top]))

    def result(self, shape: Sequence[int]) -> dict[str, Any]:
        """All figures, as `model.Metrics` has them."""
        count = self.count
        ulps = self._floating or self._complex
        return {
            "count": count,
            "bit_equal": self.equal == count,
            "equal_fraction": self.equal / count if count else 1.0,
            "max_abs": self.max_abs,
            "mean_abs": self.sum_abs / self.finite if self.finite else 0.0,
            "max_rel": self.max_rel,
            "max_ulp": self._ulps.largest() if ulps else None,
            "p99_ulp": self._ulps.quantile() if ulps else None,
            "close_count": self.close,
            "nonfinite_mismatches": self.odd,
            "worst": self._worst and _worst(self._worst, shape),
        }


class _Ulps:
    """The distribution of ULP distances: small ones counted, large ones kept."""

    def __init__(self) -> None:
        self._counts = torch.zeros(_SMALL, dtype=torch.int64)
        self._large: list[torch.Tensor] = []
        self._max = 0

    def add(self, distances: torch.Tensor) -> None:
        if distances.numel() == 0:
            return
        self._max = max(self._max, int(distances.max()))
        small = distances < _SMALL
        self._counts += torch.bincount(distances[small], minlength=_SMALL).cpu()
        if not bool(small.all()):
            self._large.append(distances[~small].cpu())

    def largest(self) -> int:
        return self._max

    def quantile(self) -> int:
        """The smallest u so that at least 99% of the finite pairs lie within u."""
        total = int(self._counts.sum()) + sum(part.numel() for part in self._large)
        if not total:
            return 0
        rank = -(-99 * total // 100)
        below = torch.cumsum(self._counts, 0)
        if int(below[-1]) >= rank:
            return int(torch.searchsorted(below, rank))
        large = torch.cat(self._large).sort().values
        return int(large[rank - int(below[-1]) - 1])


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous().view(_INTS[tensor.element_size()])


def _same_bits(b: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    if b.is_complex():
        real_b, real_c = torch.view_as_real(b), torch.view_as_real(c)
        return (_bits(real_b) == _bits(real_c)).all(-1)
    if b.dtype is torch.bool:
        return b == c
    return _bits(b) == _bits(c)


def _ulp_distance(b: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    """|steps| between two float tensors, int64, at most 2**63 - 1; NaN gives nonsense."""
    width = b.element_size() * 8
    mask = (1 << (width - 1)) - 1
    magnitude_b, magnitude_c = (_bits(t).to(torch.int64) & mask for t in (b, c))
    negative_b, negative_c = (_bits(t) < 0 for t in (b, c))
    apart = magnitude_b + magnitude_c
    apart = torch.where(apart < 0, torch.full_like(apart, _MAX), apart)
    return torch.where(negative_b == negative_c, (magnitude_b - magnitude_c).abs(), apart)


def _text(element: torch.Tensor) -> str:
    return repr(element.item())


def _worst(worst, shape):
    _, flat, baseline, candidate = worst
    index = []
    for size in reversed(shape):
        flat, rest = divmod(flat, size)
        index.append(rest)
    return {"index": index[::-1], "baseline": baseline, "candidate": candidate}
