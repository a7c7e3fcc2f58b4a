"""Frozen values that every layer shares, and the JSON contract they spell.

`Comparison` is what ``--format json`` prints; its JSON Schema is generated from these
classes (`forkpoint.report.schema`), so a field added here is a field of the contract.
Numbers that JSON cannot carry (NaN, infinities) never appear as floats: element values
are strings, and metrics are defined over the pairs for which they are finite.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

SCHEMA = "forkpoint.comparison/1"
ARTIFACTS_SCHEMA = "forkpoint.artifacts/1"


class Verdict(StrEnum):
    """What is known about a step, or about a whole comparison."""

    IDENTICAL = "identical"
    WITHIN_TOLERANCE = "within_tolerance"
    DIVERGENT = "divergent"
    NOT_COMPARABLE = "not_comparable"
    NOT_REPEATABLE = "not_repeatable"
    INCOMPLETE = "incomplete"


class Outcome(StrEnum):
    """How an experiment ended."""

    SUPPORTED = "supported"
    REFUTED = "refuted"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """Which differences are acceptable: ``|b - c| <= atol + rtol * |b|`` by dtype.

    ``limits`` maps a dtype name (``float32``) to ``(atol, rtol)``; a dtype that is absent
    must be equal bit for bit. ``outputs`` does the same for single outputs by name and
    goes first.
    """

    name: str
    limits: dict[str, tuple[float, float]] = field(default_factory=dict)
    outputs: dict[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worst:
    """The element with the largest absolute difference; values as text, so NaN survives."""

    index: tuple[int, ...]
    baseline: str
    candidate: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """How far two tensors of one shape and dtype lie apart.

    Differences and ULP distances are over the pairs in which both elements are finite;
    ``nonfinite_mismatches`` counts the pairs in which exactly one is NaN, or in which an
    infinity meets anything but itself. ``equal_fraction`` compares bits: -0 differs from
    +0, and a NaN equals a NaN with the same payload only. ``close_count`` is the number of
    pairs within the tolerance in force, two NaNs counting as close.
    """

    count: int
    bit_equal: bool
    equal_fraction: float
    max_abs: float
    mean_abs: float
    max_rel: float
    max_ulp: int | None
    p99_ulp: int | None
    close_count: int
    nonfinite_mismatches: int
    worst: Worst | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepInput:
    """One tensor (or plain value) that a step was called with."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    equal: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOutput:
    """One tensor that a step returned; ``metrics`` is null where it was not measured."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    equal: bool
    metrics: Metrics | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fork:
    """The first event of a step whose output differs although its inputs are equal.

    ``kind`` says how finely the step was recorded: ``op`` (an ATen op call) or ``module``
    (the first module to return other bits; the op lies in it or before it, after
    ``after``). ``inputs_equal`` is null where inputs were not recorded.
    """

    kind: Literal["module", "op"]
    module: str
    op: str | None
    event: int
    inputs_equal: bool | None
    signature: str | None = None
    after: str | None = None
    shapes: tuple[tuple[int, ...], ...] = ()
    dtypes: tuple[str, ...] = ()
    metrics: Metrics | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One outermost module call, in both environments."""

    index: int
    module: str
    inputs: tuple[StepInput, ...]
    verdict: Verdict
    fork: Fork | None
    outputs: tuple[StepOutput, ...]
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeRow:
    """The steps that share module and input shapes, and how they came out."""

    module: str
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[str, ...]
    steps: tuple[int, ...]
    verdicts: dict[str, int]
    fork: str | None
    max_abs: float | None
    max_ulp: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatCell:
    """One module call in one step: ``state`` is identical, differs or absent.

    ``max_abs`` and ``max_ulp`` are null where the tensors were not both at hand.
    """

    state: Literal["identical", "differs", "absent"]
    max_abs: float | None = None
    max_ulp: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatMap:
    """Steps by module calls; ``cells[i][j]`` is step ``steps[i]``, module ``modules[j]``."""

    modules: tuple[str, ...]
    steps: tuple[int, ...]
    cells: tuple[tuple[HeatCell, ...], ...]
    omitted_steps: int = 0
    omitted_modules: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One environment of a comparison: what was asked for, what ran."""

    name: str
    spec: str
    fingerprint: dict[str, str]
    recording: str
    status: str
    steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentDifference:
    """A fingerprint entry that is not the same on both sides; null: not there."""

    key: str
    baseline: str | None
    candidate: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Neutral:
    """Whether recording changed the numbers, and what that was checked on.

    ``equal`` is null where nothing was checked, and ``evidence`` says why or how.
    """

    equal: bool | None
    evidence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncovered:
    """Something that ran and could not be seen."""

    side: str
    kind: str
    detail: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What the verdict rests on. ``notes`` are whole sentences for people."""

    steps: int
    op_level_steps: tuple[int, ...]
    measured_steps: tuple[int, ...]
    events: int
    uncovered: tuple[Uncovered, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceDifference:
    """Where the op or module sequences of a step stop being the same."""

    step: int
    module: str
    only_baseline: tuple[str, ...]
    only_candidate: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Oracle:
    """Distance of both sides from a float64 evaluation, in units of the op's own ULP."""

    baseline_max_ulp: float
    candidate_max_ulp: float
    nearer: Literal["baseline", "candidate", "neither"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPoint:
    """One size of the swept dimension: random inputs tried, and on how many the sides differ.

    The classes number the results inside one environment: equal numbers mean that rows shared
    by two sizes have the same bits at both.
    """

    size: int
    inputs: int
    differing: int
    baseline_class: int | None = None
    candidate_class: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """An origin over one dimension of its inputs, and the simplest rule that fits.

    ``dimension`` names what was varied; ``rule`` is null where none fits or where values, not
    shapes, decide; ``checked`` fresh shapes were predicted by the rule, ``wrong`` of them
    wrongly.
    """

    dimension: str
    points: tuple[SweepPoint, ...]
    rule: str | None = None
    checked: int = 0
    wrong: int = 0


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
    is its folder below the results folder.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One intervention: what was supposed, what was done and seen, how it ended."""

    name: str
    hypothesis: str
    outcome: Outcome
    evidence: str
    did: str = ""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedValue:
    """A tensor that a watched function took (``argument``) or gave (``result``).

    ``equal`` is null where it could not be hashed; ``metrics`` where it was not measured.
    """

    role: Literal["argument", "result"]
    name: str
    shape: tuple[int, ...]
    dtype: str
    equal: bool | None
    metrics: Metrics | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedCall:
    """One call of a function that was watched; calls are matched by their number.

    ``step`` is the step it lies in or comes after in the baseline (-1: before the first), or
    in the candidate where only that made it (``side``). ``arguments_equal`` and
    ``results_equal`` count plain values, too, and are null where nothing could be compared.
    ``baseline`` and ``candidate`` are the plain values as text, ``arguments -> results``.
    """

    function: str
    call: int
    step: int
    inside: bool
    side: Literal["both", "baseline", "candidate"]
    arguments_equal: bool | None
    results_equal: bool | None
    values: tuple[WatchedValue, ...]
    baseline: str = ""
    candidate: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The result of comparing two recordings: the contract for machines.

    ``explanation`` is the verdict in plain words, whole sentences that rest on ``origins`` and
    ``experiments``; ``propagated`` counts the op calls of the diagnosed steps that differ only
    because their inputs do (null: not diagnosed).
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
    reasons: tuple[str, ...] = ()
    explanation: tuple[str, ...] = ()
    origins: tuple[Origin, ...] = ()
    propagated: int | None = None
    experiments: tuple[Experiment, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    watched: tuple[WatchedCall, ...] = ()
    reproduce: str = ""
    schema: Literal["forkpoint.comparison/1"] = "forkpoint.comparison/1"
