"""Frozen values that every layer shares, and the JSON contract they spell.

`Comparison` is what ``--format json`` prints; its JSON Schema is generated from these
classes (`forkpoint.report.schema`), so a field added here is a field of the contract.
Numbers that JSON cannot carry (NaN, infinities) never appear as floats: element values
are strings, and metrics are defined over the pairs for which they are finite.
"""

from __future__ import annotations

from forkpoint.model._artifacts import (
    ARTIFACTS_SCHEMA,
    Artifact,
    ArtifactComparison,
    RankCut,
    RankFlip,
    RankingMetrics,
    RankQuality,
)
from forkpoint.model._comparison import SCHEMA, Comparison
from forkpoint.model._diagnosis import Experiment, Kernels, Oracle, Origin, Sweep, SweepPoint
from forkpoint.model._runs import Coverage, EnvironmentDifference, Neutral, Side, Uncovered
from forkpoint.model._steps import (
    Fork,
    HeatCell,
    HeatMap,
    SequenceDifference,
    ShapeRow,
    Step,
    StepInput,
    StepOutput,
)
from forkpoint.model._values import Metrics, Outcome, Tolerance, Verdict, Worst
from forkpoint.model._watched import WatchedCall, WatchedValue

__all__ = [
    "ARTIFACTS_SCHEMA",
    "SCHEMA",
    "Artifact",
    "ArtifactComparison",
    "Comparison",
    "Coverage",
    "EnvironmentDifference",
    "Experiment",
    "Fork",
    "HeatCell",
    "HeatMap",
    "Kernels",
    "Metrics",
    "Neutral",
    "Oracle",
    "Origin",
    "Outcome",
    "RankCut",
    "RankFlip",
    "RankQuality",
    "RankingMetrics",
    "SequenceDifference",
    "ShapeRow",
    "Side",
    "Step",
    "StepInput",
    "StepOutput",
    "Sweep",
    "SweepPoint",
    "Tolerance",
    "Uncovered",
    "Verdict",
    "WatchedCall",
    "WatchedValue",
    "Worst",
]
