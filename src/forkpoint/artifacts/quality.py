"""Retrieval quality against relevance judgements, by ir-measures, and a paired test by scipy."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from forkpoint.errors import UsageError
from forkpoint.model import RankQuality

MEASURES = ("R@10", "RR@10", "nDCG@10")
Relevance = Mapping[str, Mapping[str, int]]
Orders = Mapping[str, Sequence[str]]


def read_relevance(path: Path) -> dict[str, dict[str, int]]:
    """Judgements in TREC form (``query 0 document grade``); raises `UsageError`."""
    found: dict[str, dict[str, int]] = {}
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.strip():
                query, _, document, grade = line.split()
                found.setdefault(query, {})[document] = int(grade)
    except (ValueError, OSError) as error:
        raise UsageError(
            f"{path} holds no relevance judgements: {error}.",
            hint="Each line is: query 0 document grade.",
        ) from error
    return found


def require_measures() -> None:
    """Raise `UsageError` where what `qualities` needs is not installed."""
    for name in ("ir_measures", "scipy.stats"):
        _optional(name)


def qualities(baseline: Orders, candidate: Orders, relevance: Relevance) -> tuple[RankQuality, ...]:
    """Each measure of both runs over all judged queries, and how likely chance explains it.

    Documents are scored by their place, so that ties in a file stay in the file's order. A
    judged query that a run does not answer scores 0. Raises `UsageError` where ir-measures is
    not installed.
    """
    one, two = (_by_query(run, relevance) for run in (baseline, candidate))
    return tuple(_quality(name, one[name], two[name]) for name in MEASURES)


def _by_query(run: Orders, relevance: Relevance) -> dict[str, dict[str, float]]:
    library = _optional("ir_measures")
    measures = [library.parse_measure(name) for name in MEASURES]
    scored = {
        query: {document: float(-place) for place, document in enumerate(documents)}
        for query, documents in run.items()
    }
    found: dict[str, dict[str, float]] = {name: dict.fromkeys(relevance, 0.0) for name in MEASURES}
    for metric in library.iter_calc(measures, relevance, scored):
        found[str(metric.measure)][metric.query_id] = float(metric.value)
    return found


def _quality(name: str, one: dict[str, float], two: dict[str, float]) -> RankQuality:
    pairs = [(one[query], two[query]) for query in sorted(one)]
    return RankQuality(
        measure=name,
        baseline=fmean(b for b, _ in pairs),
        candidate=fmean(c for _, c in pairs),
        better=sum(c > b for b, c in pairs),
        worse=sum(c < b for b, c in pairs),
        p_value=_p_value(pairs),
    )


def _p_value(pairs: list[tuple[float, float]]) -> float | None:
    """Two-sided paired t-test; None for fewer than two queries, 1 where nothing differs."""
    if len(pairs) < 2:
        return None
    if all(b == c for b, c in pairs):
        return 1.0
    differences = {round(b - c, 12) for b, c in pairs}
    if len(differences) == 1:  # no variance: the statistic is not defined
        return None
    stats = _optional("scipy.stats")
    return float(stats.ttest_rel(*zip(*pairs, strict=True)).pvalue)


def _optional(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UsageError(
            f"Relevance judgements need a package that is not installed ({error}).",
            hint="Install it where forkpoint is: pip install 'forkpoint[rankings]'",
        ) from error
