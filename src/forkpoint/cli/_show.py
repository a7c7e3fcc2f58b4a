"""Printing a result: standard output carries it, and nothing else."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from forkpoint.cli._errors import DIVERGENT, FINE, TROUBLE
from forkpoint.cli._watch import Watch
from forkpoint.model import ArtifactComparison, Comparison, Verdict
from forkpoint.report import (
    Progress,
    artifacts_to_json,
    artifacts_to_markdown,
    render_artifacts,
    render_comparison,
    to_json,
    to_markdown,
    write_artifacts_html,
    write_html,
)

STATUS = {
    Verdict.IDENTICAL: FINE,
    Verdict.WITHIN_TOLERANCE: FINE,
    Verdict.DIVERGENT: DIVERGENT,
    Verdict.NOT_REPEATABLE: TROUBLE,
    Verdict.NOT_COMPARABLE: TROUBLE,
    Verdict.INCOMPLETE: TROUBLE,
}


@dataclass(frozen=True, slots=True)
class Output:
    """How to print, where to put the HTML report, and whether to be quiet meanwhile."""

    form: str
    html: Path | None
    quiet: bool

    @classmethod
    def of(cls, chosen: dict[str, Any]) -> Output:
        """Take the output options out of what was chosen on the command line."""
        return cls(chosen["form"], chosen["html"], chosen["quiet"])

    @contextmanager
    def watch(self) -> Iterator[Watch]:
        """Show progress on standard error while the block runs."""
        console = Console(stderr=True, highlight=False)
        with Progress(quiet=self.quiet, console=console) as progress:
            yield Watch(progress, console, quiet=self.quiet)

    def show(self, comparison: Comparison) -> int:
        """Print the result, write the HTML report; returns the exit status."""
        if self.html:
            write_html(comparison, self.html)
        status = STATUS[comparison.verdict]
        if self.form == "json":
            print_bytes(to_json(comparison))
        elif self.form == "markdown":
            print_bytes(to_markdown(comparison).encode())
        else:
            render_comparison(comparison, Console())
        if self.html:
            self.say(f"The HTML report is in {self.html}")
        return status

    def show_artifacts(self, result: ArtifactComparison) -> int:
        """Print a comparison of files; returns the exit status."""
        if self.html:
            write_artifacts_html(result, self.html)
        if self.form == "json":
            print_bytes(artifacts_to_json(result))
        elif self.form == "markdown":
            print_bytes(artifacts_to_markdown(result).encode())
        else:
            render_artifacts(result, Console())
        if self.html:
            self.say(f"The HTML report is in {self.html}")
        return STATUS[result.verdict]

    def say(self, text: str) -> None:
        """One line on standard error, unless quiet was asked for."""
        if not self.quiet:
            Console(stderr=True, highlight=False).print(Text(text), soft_wrap=True)


def print_bytes(data: bytes) -> None:
    """Write to standard output as it is: UTF-8, whatever the locale."""
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
