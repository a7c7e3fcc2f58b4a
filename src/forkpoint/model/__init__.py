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
    ForkInput,
    HeatCell,
    HeatMap,
    InnerDifference,
    ReasonKind,
    SequenceDifference,
    ShapeRow,
    Step,
    StepInput,
    StepOutput,
    WeightDifference,
)
from forkpoint.model._values import (
    Metrics,
    Outcome,
    PlainDifference,
    Tolerance,
    Unread,
    Verdict,
    Worst,
)
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
    "ForkInput",
    "HeatCell",
    "HeatMap",
    "InnerDifference",
    "Kernels",
    "Metrics",
    "Neutral",
    "Oracle",
    "Origin",
    "Outcome",
    "PlainDifference",
    "RankCut",
    "RankFlip",
    "RankQuality",
    "RankingMetrics",
    "ReasonKind",
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
    "Unread",
    "Verdict",
    "WatchedCall",
    "WatchedValue",
    "WeightDifference",
    "Worst",
]
