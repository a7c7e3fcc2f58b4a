"""Files that two runs wrote, as a sentence and as rows that every format prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from forkpoint.model import Artifact, Verdict
from forkpoint.report import words

COLUMNS = ("file", "verdict", "what differs", "first")


def artifact_sentence(artifacts: Sequence[Artifact]) -> str:
    """How many files there are, by verdict."""
    whole = [artifact for artifact in artifacts if not artifact.part]
    counts = Counter(artifact.verdict for artifact in whole)
    listed = ", ".join(
        f"{counts[verdict]:,} {words.VERDICTS[verdict]}" for verdict in Verdict if counts[verdict]
    )
    return f"{words.counted(len(whole), 'file')}: {listed}."


def artifact_rows(artifacts: Sequence[Artifact]) -> list[tuple[str, ...]]:
    """What differs, as cells: file, verdict, what, where first; quality by its measures."""
    rows: list[tuple[str, ...]] = []
    for one in artifacts:
        if one.verdict is not Verdict.IDENTICAL:
            name = f"{one.path}: {one.part}" if one.part else one.path
            where = one.where[0] if one.where else ""
            rows.append((name, words.VERDICTS[one.verdict], one.summary, where))
        rows += _quality_rows(one)
    return rows


def _quality_rows(artifact: Artifact) -> list[tuple[str, ...]]:
    return [
        (
            f"{artifact.path}: {found.measure}",
            "",
            f"{found.baseline:.4f} and {found.candidate:.4f}"
            + ("" if found.p_value is None else f" (p = {found.p_value:.2g})"),
            f"{found.better:,} better, {found.worse:,} worse",
        )
        for found in (artifact.ranking.quality if artifact.ranking else ())
    ]
