"""The report on two folders of files as one HTML file, self-contained as the other."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from forkpoint.model import Artifact, ArtifactComparison, RankingMetrics, Verdict
from forkpoint.report import words
from forkpoint.report.files import artifact_sentence
from forkpoint.report.page import asset, render_page, write_page


def write_artifacts_html(result: ArtifactComparison, path: str | os.PathLike[str]) -> Path:
    """Write the report (about 30 KB) and return its path; an old file is replaced whole.

    Raises `StorageFull` where the disk is full, and `UsageError` where no file can be there.
    """
    return write_page(artifacts_to_html(result), path)


def artifacts_to_html(result: ArtifactComparison) -> str:
    """The whole page as text."""
    return render_page(
        "artifacts.html.j2",
        scripts={"page": asset("page.js")},
        result=result,
        sentence=artifact_sentence(result.artifacts),
        figures=_figures(result.artifacts),
    )


def _figures(artifacts: Sequence[Artifact]) -> list[tuple[str, str, str]]:
    """Key figures: a label, a value, and what else there is to know."""
    whole = [one for one in artifacts if not one.part]
    unlike = [one for one in whole if one.verdict is not Verdict.IDENTICAL]
    alone = sum(one.side is not None for one in whole)
    found = [
        ("Files that are not identical", f"{len(unlike):,} of {len(whole):,}", _only(alone)),
        ("Largest difference of a number", *_largest(artifacts)),
    ]
    rankings = [one.ranking for one in artifacts if one.ranking]
    return [*found, _order(rankings)] if rankings else found


def _only(alone: int) -> str:
    return f"{words.counted(alone, 'file')} on one side only" if alone else ""


def _largest(artifacts: Sequence[Artifact]) -> tuple[str, str]:
    measured = [(one.metrics.max_abs, one) for one in artifacts if one.metrics]
    if not measured:
        return "none", "no numbers were compared"
    size, one = max(measured, key=lambda pair: pair[0])
    return words.number(size), f"in {words.shorten(words.name(one.path), 60)}" if size else ""


def _order(rankings: Sequence[RankingMetrics]) -> tuple[str, str, str]:
    same = sum(one.same_order for one in rankings)
    total = sum(one.queries for one in rankings)
    return "Queries in the same order", f"{same:,} of {total:,}", ""
