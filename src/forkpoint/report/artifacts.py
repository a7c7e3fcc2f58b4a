"""The report on two folders of files: for the terminal and as Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from forkpoint.model import Artifact, ArtifactComparison, Verdict
from forkpoint.report import words
from forkpoint.report.markdown import escape, markdown_table
from forkpoint.report.terminal import plain_table

_COLUMNS = ("file", "verdict", "what differs", "first")


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


def render_artifacts(result: ArtifactComparison, console: Console) -> None:
    """Print the verdict, then the files that differ."""
    verdict = words.VERDICTS[result.verdict]
    sentence = words.plain(artifact_sentence(result.artifacts))
    console.print(Text.assemble((f"{verdict}: ", "bold"), (sentence, "bold")))
    rows = artifact_rows(result.artifacts)
    if rows:
        console.print()
        console.print(plain_table("Files that differ", _COLUMNS, rows))


def artifacts_to_markdown(result: ArtifactComparison) -> str:
    """The same for an issue tracker."""
    sentence = f"{words.VERDICTS[result.verdict]}: {artifact_sentence(result.artifacts)}"
    table = markdown_table("Files that differ", _COLUMNS, artifact_rows(result.artifacts))
    parts = (f"### forkpoint: {escape(sentence)}", table)
    return "\n\n".join(part for part in parts if part) + "\n"
