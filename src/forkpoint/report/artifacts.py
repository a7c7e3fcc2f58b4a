"""The report on two folders of files: for the terminal and as Markdown."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from forkpoint.model import ArtifactComparison
from forkpoint.report import words
from forkpoint.report.files import COLUMNS, artifact_rows, artifact_sentence
from forkpoint.report.markdown import escape, markdown_table
from forkpoint.report.tables import plain_table


def render_artifacts(result: ArtifactComparison, console: Console) -> None:
    """Print the verdict, then the files that differ."""
    verdict = words.VERDICTS[result.verdict]
    sentence = words.plain(artifact_sentence(result.artifacts))
    console.print(Text.assemble((f"{verdict}: ", "bold"), (sentence, "bold")))
    rows = artifact_rows(result.artifacts)
    if rows:
        console.print()
        console.print(plain_table("Files that differ", COLUMNS, rows))


def artifacts_to_markdown(result: ArtifactComparison) -> str:
    """The same for an issue tracker."""
    sentence = f"{words.VERDICTS[result.verdict]}: {artifact_sentence(result.artifacts)}"
    table = markdown_table("Files that differ", COLUMNS, artifact_rows(result.artifacts))
    parts = (f"### forkpoint: {escape(sentence)}", table)
    return "\n\n".join(part for part in parts if part) + "\n"
