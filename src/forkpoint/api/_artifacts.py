"""Comparing the files that two runs left behind."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from forkpoint.api._options import read_tolerance
from forkpoint.artifacts import Context, compare_trees, read_relevance
from forkpoint.compare import worst
from forkpoint.errors import UsageError
from forkpoint.model import ArtifactComparison, Tolerance, Verdict


def diff_artifacts(
    baseline: str | PathLike[str],
    candidate: str | PathLike[str],
    *,
    tolerance: str | Tolerance = "torch",
    relevance: str | PathLike[str] | None = None,
) -> ArtifactComparison:
    """Compare two folders of files, or two files, by content.

    ``relevance`` is a file of judgements (TREC form) to measure rankings by. Files that are
    damaged or unsafe are ``not_comparable`` and say why. Raises `UsageError` where there is
    nothing to compare.
    """
    one, two = Path(baseline), Path(candidate)
    limits = read_tolerance(tolerance)
    judged = read_relevance(Path(relevance)) if relevance is not None else None
    artifacts = compare_trees(one, two, Context(tolerance=limits, relevance=judged))
    if not artifacts:
        raise UsageError(f"{one} and {two} hold no files.", hint="Name folders with files in them.")
    return ArtifactComparison(
        verdict=worst(artifact.verdict for artifact in artifacts) or Verdict.NOT_COMPARABLE,
        baseline=str(one),
        candidate=str(two),
        tolerance=limits,
        artifacts=artifacts,
    )
