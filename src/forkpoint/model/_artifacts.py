"""Files that both runs wrote, and the rankings among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from forkpoint.model._values import Metrics, Tolerance, Verdict

ARTIFACTS_SCHEMA = "forkpoint.artifacts/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class RankFlip:
    """Neighbours of a ranking that changed places; ``margin`` is that of the baseline's scores.

    ``kind``: the scores were equal (``tie``), apart by no more than scores changed anyway
    (``near_tie``), by more (``moved``), or are not known.
    """

    query: str
    rank: int
    document: str
    overtaken_by: str
    margin: float | None
    kind: Literal["tie", "near_tie", "moved", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RankCut:
    """The first ``k`` documents: means over queries, and numbers of queries.

    ``overlap`` is the mean share of ids in common, ``ids_swapped`` the mean number that is not.
    """

    k: int
    overlap: float
    same_set: int
    same_order: int
    ids_swapped: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RankQuality:
    """A measure of retrieval quality, as means over judged queries, and a paired t-test.

    ``better`` and ``worse`` count queries; ``p_value`` is null where the test is not defined.
    """

    measure: str
    baseline: float
    candidate: float
    better: int
    worse: int
    p_value: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingMetrics:
    """How far the rankings of two runs lie apart; ``noise`` is the median change of a score.

    ``flips`` counts neighbours that changed places, ``examples`` are the first of them.
    """

    queries: int
    unpaired_queries: int
    same_order: int
    rbo: float
    rbo_p: float
    cuts: tuple[RankCut, ...]
    flips: int
    ties: int
    near_ties: int
    moved: int
    noise: float | None
    examples: tuple[RankFlip, ...] = ()
    quality: tuple[RankQuality, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One file, or one named ``part`` of it (an array), that both runs wrote.

    ``elements`` values were compared, ``changed_fraction`` of them changed, ``where`` names
    the first few. ``side`` is set where only one run has it.
    """

    path: str
    kind: str
    verdict: Verdict
    summary: str
    metrics: Metrics | None = None
    part: str = ""
    elements: int | None = None
    changed_fraction: float | None = None
    where: tuple[str, ...] = ()
    side: Literal["baseline", "candidate"] | None = None
    ranking: RankingMetrics | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactComparison:
    """The result of comparing two folders of files; it has no steps and no environments."""

    verdict: Verdict
    baseline: str
    candidate: str
    tolerance: Tolerance
    artifacts: tuple[Artifact, ...]
    schema: Literal["forkpoint.artifacts/1"] = "forkpoint.artifacts/1"
