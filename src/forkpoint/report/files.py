"""Files that two runs wrote, as a sentence and as rows that every format prints."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

from forkpoint.model import Artifact, Verdict
from forkpoint.report import words

LONG_NAME = 90
"""Characters of a file's name, or of a part's, in a table."""

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
            where = one.where[0] if one.where else ""
            rows.append((artifact_name(one), words.VERDICTS[one.verdict], one.summary, where))
        rows += _quality_rows(one)
    return rows


def artifact_name(artifact: Artifact) -> str:
    """The file and the part, each inert and short; no two files have one text."""
    path = _short(artifact.path)
    return f"{path}: {_short(artifact.part)}" if artifact.part else path


def _short(name: str) -> str:
    """The name, inert; a long one by its ends and a digest, so that it stays one of a kind."""
    text = words.name(name)
    if len(text) <= LONG_NAME:
        return text
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return words.shorten(text, LONG_NAME - len(digest) - 3) + f" ({digest})"


def _quality_rows(artifact: Artifact) -> list[tuple[str, ...]]:
    return [
        (
            f"{_short(artifact.path)}: {found.measure}",
            "",
            f"{found.baseline:.4f} and {found.candidate:.4f}"
            + ("" if found.p_value is None else f" (p = {found.p_value:.2g})"),
            f"{found.better:,} better, {found.worse:,} worse",
        )
        for found in (artifact.ranking.quality if artifact.ranking else ())
    ]
