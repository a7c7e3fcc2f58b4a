"""The diagnosis as facts that every format prints: origins, sweeps, kernels, experiments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from shlex import quote

from forkpoint.model import (
    Comparison,
    Experiment,
    Kernels,
    Oracle,
    Origin,
    Outcome,
    Side,
    Sweep,
    SweepPoint,
)
from forkpoint.report import words

MARKS = {Outcome.SUPPORTED: "✓", Outcome.REFUTED: "✗", Outcome.INCONCLUSIVE: "?"}
"""A symbol beside each outcome's word, so that neither needs colour."""

KERNEL_COLUMNS = ("shape", "environment", "computed by")

_CONFIRMED = {
    "replay": "alone: one captured call, replayed in both environments",
    "in_place": "inside the script only, at that very call with equal inputs",
    None: "not confirmed",
}
_TO = "\N{EN DASH}"
_MOST_KINDS = 12  # rows of a table of kinds, before neighbours share one
_NAMED = 3


def outcome(experiment: Experiment) -> str:
    """``✓ supported``."""
    return f"{MARKS[experiment.outcome]} {experiment.outcome.value}"


def experiment_facts(experiment: Experiment) -> tuple[tuple[str, str], ...]:
    """What was supposed, done and seen, as labels and texts."""
    facts = (
        ("supposed", experiment.hypothesis),
        ("did", experiment.did),
        ("seen", experiment.evidence),
    )
    return tuple((label, text) for label, text in facts if text)


def origin_title(origin: Origin) -> str:
    """``aten::native_layer_norm (float32)``."""
    dtypes = f" ({', '.join(origin.dtypes)})" if origin.dtypes else ""
    return f"{words.operator(origin.op)}{dtypes}"


def origin_facts(origin: Origin, comparison: Comparison) -> tuple[tuple[str, str], ...]:
    """All that is known of an origin, as labels and texts; what is unknown is left out."""
    calls = f"{words.counted(origin.calls, 'call')}, " if origin.calls else ""
    steps = "step" if len(origin.steps) == 1 else "steps"
    facts = (
        ("in", _named([words.module(name, "") for name in origin.modules], "module")),
        ("calls", f"{calls}{steps} {words.ranges(origin.steps, limit=6)}" if origin.steps else ""),
        ("shapes", _named([words.shape(sizes) for sizes in origin.shapes], "shape")),
        ("difference", words.difference(origin.metrics)),
        ("confirmed", _CONFIRMED[origin.confirmed]),
        ("float64", oracle_text(origin.oracle, comparison) if origin.oracle else ""),
        ("rule", origin.rule or ("none that holds" if origin.sweeps else "")),
        ("kernels", _kernel_sentence(origin.kernels)),
        ("remedies", "; ".join(origin.remedies)),
    )
    return tuple((label, text) for label, text in facts if text)


def oracle_text(oracle: Oracle, comparison: Comparison) -> str:
    """How far each side is from float64, and which is nearer."""
    names = side_names(comparison)
    sides = (
        (oracle.baseline_max_ulp, oracle.baseline_mean_ulp, oracle.baseline_row_ulp),
        (oracle.candidate_max_ulp, oracle.candidate_mean_ulp, oracle.candidate_row_ulp),
    )
    said = [f"{name} is {_distance(*side)}" for name, side in zip(names, sides, strict=True)]
    nearer = {"baseline": names[0], "candidate": names[1], "neither": "neither"}[oracle.nearer]
    return f"{'; '.join(said)}; {nearer} is nearer"


def sweep_sentence(sweep: Sweep) -> str:
    """The rule of one sweep with what stands behind it, or why there is none."""
    parts = [f"rule: {sweep.rule}" if sweep.rule else "no rule"]
    if sweep.rule and sweep.checked:
        wrongly = f"{sweep.wrong:,} wrongly" if sweep.wrong else "none wrongly"
        parts.append(f"{words.counted(sweep.checked, 'fresh size')} predicted, {wrongly}")
    if sweep.note:
        parts.append(sweep.note)
    inputs = [point.inputs for point in sweep.points]
    if inputs:
        each = _TO.join(str(many) for many in sorted({min(inputs), max(inputs)}))
        noun = "input" if each == "1" else "inputs"
        what = "kind" if _has_labels(sweep) else "size"
        parts.append(f"{words.counted(len(inputs), what)} tried, {each} {noun} each")
    if is_uniform(sweep):
        extent = "none" if not sweep.points[0].differing else "all"
        parts.append(f"{extent} of the {words.counted(sum(inputs), 'input')} differ")
    return "; ".join(parts)


def is_uniform(sweep: Sweep) -> bool:
    """Whether all points came out alike, and not mixed, so that one sentence says it all."""
    if len({_result(point) for point in sweep.points}) != 1:
        return False
    return sweep.points[0].differing in (0, sweep.points[0].inputs)


def sweep_columns(sweep: Sweep, comparison: Comparison) -> tuple[str, ...]:
    """Heads for `sweep_rows`; classes only where the sweep has them."""
    baseline, candidate = side_names(comparison)
    classes = (f"class in {baseline}", f"class in {candidate}") if has_classes(sweep) else ()
    return ("kind" if _has_labels(sweep) else "size", "inputs", "differ", *classes)


def sweep_rows(sweep: Sweep) -> list[tuple[str, ...]]:
    """Cells for each size; neighbours that came out alike share a row, kinds only where many."""
    runs: list[list[SweepPoint]] = []
    many = len(sweep.points) > _MOST_KINDS
    for point in sweep.points:
        shared = many or not point.label
        if runs and shared and _result(runs[-1][-1]) == _result(point):
            runs[-1].append(point)
        else:
            runs.append([point])
    return [_sweep_row(run, classes=has_classes(sweep)) for run in runs]


def has_classes(sweep: Sweep) -> bool:
    """Whether results were sorted into classes inside an environment."""
    return any(p.baseline_class is not None or p.candidate_class is not None for p in sweep.points)


def kernel_rows(kernels: Sequence[Kernels], comparison: Comparison) -> list[tuple[str, ...]]:
    """Two rows for each shape: what computed it on each side; equal names are told once."""
    baseline, candidate = side_names(comparison)
    rows: list[tuple[str, ...]] = []
    for one in kernels:
        if one.differs:
            rows.append((one.shape, baseline, ", ".join(one.baseline) or "not known"))
            rows.append(("", candidate, ", ".join(one.candidate) or "not known"))
        else:
            rows.append((one.shape, "both", ", ".join(one.baseline) or "not known"))
    return rows


def next_commands(origin: Origin, comparison: Comparison) -> tuple[str, ...]:
    """Commands for the results folder that go on from an origin; none without a capsule."""
    if origin.capsule is None:
        return ()
    sides = (comparison.baseline, comparison.candidate)
    environments = " ".join(f"--env {_environment(side)}" for side in sides)
    capsule = quote(words.plain(origin.capsule))
    return (
        f"forkpoint replay {environments} {capsule}",
        f"forkpoint repro {environments} --out repro {capsule}",
    )


def side_names(comparison: Comparison) -> tuple[str, str]:
    """The names of baseline and candidate, short enough for a column."""
    return (
        words.shorten(comparison.baseline.name, 24),
        words.shorten(comparison.candidate.name, 24),
    )


def _environment(side: Side) -> str:
    return quote(words.plain(f"{side.name}={side.spec}"))


def _named(names: Sequence[str], noun: str) -> str:
    shown = list(dict.fromkeys(words.shorten(name, words.LONG_NAME) for name in names))
    left = len(shown) - _NAMED
    more = f" and {words.counted(left, f'more {noun}')}" if left > 0 else ""
    return ", ".join(shown[:_NAMED]) + more


def _distance(largest: float, mean: float | None, row: float | None) -> str:
    text = f"up to {_ulp(largest)} ULP off"
    if mean is not None:
        text += f", {_ulp(mean)} on average"
    if row is not None:
        text += f", {_ulp(row)} by its row's largest value"
    return text


def _ulp(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else words.number(value)


def _kernel_sentence(kernels: Sequence[Kernels]) -> str:
    if not kernels:
        return ""
    unlike = sum(one.differs for one in kernels)
    if not unlike:
        return f"the same on both sides ({words.every(len(kernels), 'shape')} looked at)"
    return f"others in {unlike:,} of {words.counted(len(kernels), 'shape')} looked at"


def _has_labels(sweep: Sweep) -> bool:
    return any(point.label for point in sweep.points)


def _result(point: SweepPoint) -> tuple[object, ...]:
    extent = "none" if not point.differing else "all" if point.differing == point.inputs else "some"
    return extent, point.baseline_class, point.candidate_class


def _sweep_row(run: Sequence[SweepPoint], *, classes: bool) -> tuple[str, ...]:
    first, last = run[0], run[-1]
    size = first.label or str(first.size)
    if len(run) > 1:
        ends = (point.label or str(point.size) for point in (first, last))
        size = f"{_TO.join(ends)} ({len(run)} tried)"
    inputs, differing = sum(p.inputs for p in run), sum(p.differing for p in run)
    differ = "none" if not differing else "all" if differing == inputs else f"{differing:,}"
    cells = (size, f"{inputs:,}", differ)
    return (*cells, *_class_cells(first)) if classes else cells


def _class_cells(point: SweepPoint) -> Iterator[str]:
    for number in (point.baseline_class, point.candidate_class):
        yield "-" if number is None else str(number)
