"""Which differences are acceptable: the presets, and what the command line says."""

from __future__ import annotations

import math
from collections.abc import Sequence

from forkpoint.errors import UsageError
from forkpoint.model import Tolerance

BITWISE = Tolerance(name="bitwise")

TORCH = Tolerance(
    name="torch",
    limits={
        "float16": (1e-5, 1e-3),
        "bfloat16": (1e-5, 1.6e-2),
        "float32": (1e-5, 1.3e-6),
        "float64": (1e-7, 1e-7),
        "complex64": (1e-5, 1.3e-6),
        "complex128": (1e-7, 1e-7),
    },
)
"""The defaults of `torch.testing.assert_close`, as (atol, rtol); two NaNs count as close here."""

BNB = Tolerance(
    name="bnb",
    limits={"float16": (1e-4, 1e-3), "bfloat16": (1e-3, 1e-2), "float32": (1e-6, 1e-5)},
)
"""The limits that bitsandbytes tests with."""

PRESETS = {tolerance.name: tolerance for tolerance in (BITWISE, TORCH, BNB)}

_FLOATING = ("float16", "bfloat16", "float32", "float64", "complex64", "complex128")
_FLOATING8 = (
    *("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu"),
)

Limits = tuple[float, float]


def parse_tolerance(
    preset: str | None = None, *, atol: Sequence[str] = (), rtol: Sequence[str] = ()
) -> Tolerance:
    """Make a tolerance from a preset's name and the values of ``--atol`` and ``--rtol``.

    Each value is a number, for all floating point outputs, or ``OUTPUT:NUMBER``, for the step
    output of that name, which goes first. Without ``preset`` the default is ``torch``, or
    ``custom`` where a number is given. The half of a pair that is not given is 0. Integers
    and bools must be equal, except in an output that is named.

    Raises `UsageError` for an unknown preset, a preset next to a number, a value that is no
    number, negative or not finite, or one that is given twice.
    """
    atols, rtols = _by_output("--atol", atol), _by_output("--rtol", rtol)
    outputs = {
        name: (atols.get(name, 0.0), rtols.get(name, 0.0))
        for name in sorted(atols.keys() | rtols.keys())
        if name
    }
    if "" not in atols and "" not in rtols:
        base = _preset(preset or TORCH.name)
        return Tolerance(name=base.name, limits=dict(base.limits), outputs=outputs)
    if preset is not None:
        raise UsageError(
            f"--tolerance {preset} and a number for all outputs exclude each other",
            hint="Leave one out, or give the number for one output: --atol OUTPUT:NUMBER.",
        )
    everywhere = (atols.get("", 0.0), rtols.get("", 0.0))
    return Tolerance(
        name="custom",
        limits=dict.fromkeys((*_FLOATING, *_FLOATING8), everywhere),
        outputs=outputs,
    )


def limits_for(tolerance: Tolerance, output: str, dtype: str) -> Limits | None:
    """The ``(atol, rtol)`` in force for an output, or None where only equal bits will do."""
    return tolerance.outputs.get(output, tolerance.limits.get(dtype))


def _preset(name: str) -> Tolerance:
    if name not in PRESETS:
        raise UsageError(
            f"there is no tolerance named {name!r}",
            hint=f"Choose {', '.join(PRESETS)}, or give --atol and --rtol.",
        )
    return PRESETS[name]


def _by_output(option: str, values: Sequence[str]) -> dict[str, float]:
    """Numbers by output name; "" stands for all outputs."""
    found: dict[str, float] = {}
    for value in values:
        name, _, number = value.rpartition(":")
        if name in found:
            whose = f"output {name!r}" if name else "all outputs"
            raise UsageError(f"{option} is given twice for {whose}", hint="Give it once.")
        found[name] = _number(option, value, number)
    return found


def _number(option: str, value: str, number: str) -> float:
    try:
        parsed = float(number)
    except ValueError:
        parsed = math.nan
    if not 0 <= parsed < math.inf:
        raise UsageError(
            f"{option} {value!r} is not a number of 0 or more",
            hint=f"For example {option} 1e-5, or {option} logits:1e-3 for one output.",
        )
    return parsed
