"""The whole result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from forkpoint.model._artifacts import Artifact
from forkpoint.model._diagnosis import Experiment, Origin
from forkpoint.model._runs import Coverage, EnvironmentDifference, Neutral, Side
from forkpoint.model._steps import (
    HeatMap,
    SequenceDifference,
    ShapeRow,
    Step,
    WeightDifference,
)
from forkpoint.model._values import Tolerance, Verdict
from forkpoint.model._watched import WatchedCall

SCHEMA = "forkpoint.comparison/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The result of comparing two recordings: the contract for machines.

    ``explanation`` is the verdict in plain words, whole sentences that rest on ``origins`` and
    ``experiments``; ``propagated`` counts the op calls of the diagnosed steps that differ only
    because their inputs do (null: not diagnosed). ``weights`` are those that differ, the first
    few by the step in which they were first seen to, and ``weights_omitted`` counts the others.
    ``unrepeatable`` names environments whose runs do not agree with each other.
    """

    verdict: Verdict
    baseline: Side
    candidate: Side
    environment: tuple[EnvironmentDifference, ...]
    neutral: Neutral
    coverage: Coverage
    tolerance: Tolerance
    steps: tuple[Step, ...]
    shapes: tuple[ShapeRow, ...]
    heat: HeatMap
    sequences: tuple[SequenceDifference, ...] = ()
    weights_equal: bool | None = None
    weights: tuple[WeightDifference, ...] = ()
    weights_omitted: int = 0
    unrepeatable: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    explanation: tuple[str, ...] = ()
    origins: tuple[Origin, ...] = ()
    propagated: int | None = None
    experiments: tuple[Experiment, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    watched: tuple[WatchedCall, ...] = ()
    reproduce: str = ""
    schema: Literal["forkpoint.comparison/1"] = "forkpoint.comparison/1"
