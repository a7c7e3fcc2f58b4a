"""Why: origins, and the experiments that confirm them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from forkpoint.model._values import Metrics, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Oracle:
    """Distance of both sides from a float64 evaluation of one call.

    ``max_ulp`` and ``mean_ulp`` are in units of the op's own ULP at each value, so that results
    near zero weigh most in the largest; ``row_ulp`` is the largest distance in ULP of the
    largest value of its row (last dimension). Null where an older version did not measure it.
    ``nearer`` goes by the mean.
    """

    baseline_max_ulp: float
    candidate_max_ulp: float
    nearer: Literal["baseline", "candidate", "neither"]
    baseline_mean_ulp: float | None = None
    candidate_mean_ulp: float | None = None
    baseline_row_ulp: float | None = None
    candidate_row_ulp: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPoint:
    """One size of the swept dimension: random inputs tried, and on how many the sides differ.

    The classes number the results inside one environment: equal numbers mean that rows shared
    by two sizes have the same bits at both. ``label`` says what was varied where that is no
    size: a dtype, a memory layout; ``size`` is then its place in the list.
    """

    size: int
    inputs: int
    differing: int
    baseline_class: int | None = None
    candidate_class: int | None = None
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """An origin over one dimension of its inputs, and the simplest rule that fits.

    ``dimension`` names what was varied; ``rule`` is null where none fits or where values, not
    shapes, decide; ``checked`` fresh shapes were predicted by the rule, ``wrong`` of them
    wrongly. ``note`` says what else was seen, and why there is no rule.
    """

    dimension: str
    points: tuple[SweepPoint, ...]
    rule: str | None = None
    checked: int = 0
    wrong: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernels:
    """Names of what computed an origin on each side, where a profiler could tell."""

    shape: str
    baseline: tuple[str, ...]
    candidate: tuple[str, ...]
    differs: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """An op signature that yields other bits from the same inputs.

    ``confirmed`` says how that is known: ``replay`` (a capsule, alone, in both environments) or
    ``in_place`` (inside the re-run script, at that very call, with equal inputs). ``capsule``
    is its folder below the results folder. ``output`` names the output that ``metrics`` are of
    (empty: nothing was measured), and ``side_only`` says that the op's main result has the same
    bits: only what it returns beside it (a mean, indices, a seed) differs. ``rule`` says at which
    sizes the sides differ, in words; ``remedies`` are changes with which both sides gave the same
    bits.
    """

    op: str
    signature: str
    modules: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    steps: tuple[int, ...]
    metrics: Metrics | None = None
    oracle: Oracle | None = None
    rule: str | None = None
    dtypes: tuple[str, ...] = ()
    calls: int = 0
    confirmed: Literal["replay", "in_place"] | None = None
    capsule: str | None = None
    sweeps: tuple[Sweep, ...] = ()
    kernels: tuple[Kernels, ...] = ()
    remedies: tuple[str, ...] = ()
    output: str = ""
    side_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One intervention: what was supposed, what was done and seen, how it ended.

    ``whole``: whether all was tried that it speaks of.
    """

    name: str
    hypothesis: str
    outcome: Outcome
    evidence: str
    did: str = ""
    whole: bool = True
