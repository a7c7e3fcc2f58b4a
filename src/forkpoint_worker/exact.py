"""How far a result is from the float64 value of the same call, in its own ULP."""

from __future__ import annotations

import math

import torch


def distances(kept: torch.Tensor, exact: torch.Tensor) -> dict[str, float]:
    """``max_ulp``, ``mean_ulp`` and ``row_ulp`` of ``kept`` (a float dtype) from ``exact``.

    A distance is |kept - exact| over the spacing of kept's dtype at the exact value (the
    definition of Goldberg 1991, "What Every Computer Scientist Should Know"): 0.5 is correct
    rounding. ``row_ulp`` is the largest with the spacing at the largest value of the row (last
    dimension): cancellation makes any result near zero look far off otherwise. Both lie on the
    CPU and have one shape; pairs that are not both finite are left out, and counted as
    ``nonfinite``.
    """
    value, truth = kept.double(), exact.double()
    finite = torch.isfinite(value) & torch.isfinite(truth)
    lost = float((~finite).sum())
    if not bool(finite.any()):
        return {"max_ulp": 0.0, "mean_ulp": 0.0, "row_ulp": 0.0, "nonfinite": lost}
    zero = torch.zeros((), dtype=torch.float64, device=value.device)  # not the script's default
    error = torch.where(finite, (value - truth).abs(), zero)
    truth = torch.where(finite, truth, zero)
    steps = (error / _spacing(truth, kept.dtype))[finite]
    rows = truth.abs() if not truth.dim() else truth.abs().amax(-1, keepdim=True)
    return {
        "max_ulp": float(steps.max()),
        "mean_ulp": float(steps.mean()),
        "row_ulp": float((error / _spacing(rows, kept.dtype)).max()),
        "nonfinite": lost,
    }


def _spacing(values: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The gap between neighbours of ``dtype`` at each value (float64)."""
    info = torch.finfo(dtype)
    # frexp gives value = m * 2**e with 0.5 <= |m| < 1, so its binade starts at 2**(e - 1);
    # zero has exponent 0 in frexp, and belongs to the smallest binade
    least = math.log2(info.tiny)
    exponent = torch.frexp(values).exponent.double() - 1
    exponent = torch.where(values == 0, torch.full_like(exponent, least), exponent)
    return info.eps * torch.exp2(exponent.clamp(min=least))
