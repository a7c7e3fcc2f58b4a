"""How far a result is from the float64 value of the same call, in its own ULP."""

from __future__ import annotations

import math

import torch


def distances(kept: torch.Tensor, exact: torch.Tensor) -> dict[str, float]:
    """``max_ulp`` and ``mean_ulp`` of ``kept`` (a float dtype) from ``exact`` (float64).

    A distance is |kept - exact| over the spacing of kept's dtype at the exact value (the
    definition of Goldberg 1991, "What Every Computer Scientist Should Know"): 0.5 is correct
    rounding. Both lie on the CPU and have one shape; pairs that are not both finite are left
    out, and counted as ``nonfinite``.
    """
    info = torch.finfo(kept.dtype)
    value, truth = kept.double(), exact.double()
    finite = torch.isfinite(value) & torch.isfinite(truth)
    value, truth = value[finite], truth[finite]
    if not value.numel():
        return {"max_ulp": 0.0, "mean_ulp": 0.0, "nonfinite": float((~finite).sum())}
    # frexp gives truth = m * 2**e with 0.5 <= |m| < 1, so its binade starts at 2**(e - 1)
    exponent = torch.frexp(truth).exponent.double() - 1
    spacing = info.eps * torch.exp2(exponent.clamp(min=math.log2(info.tiny)))
    steps = (value - truth).abs() / spacing
    return {
        "max_ulp": float(steps.max()),
        "mean_ulp": float(steps.mean()),
        "nonfinite": float((~finite).sum()),
    }
