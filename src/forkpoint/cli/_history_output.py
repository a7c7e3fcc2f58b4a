"""How ``forkpoint history`` and ``forkpoint bisect`` print and keep what they found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from forkpoint import api
from forkpoint.bisect import Bisection, History
from forkpoint.claims import Claim
from forkpoint.cli import _options
from forkpoint.cli._errors import DIVERGENT, FINE
from forkpoint.cli._show import Output, print_bytes
from forkpoint.report import history as show
from forkpoint.report.history_page import write_history_page

output_options = _options.together(
    _options.format_option,
    click.option(
        "--html",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Also write a page with the matrix of releases.",
    ),
    click.option(
        "--out",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Write the JSON result here, too.",
    ),
    click.option("-q", "--quiet", is_flag=True, help="No progress."),
)


@contextmanager
def own_output(chosen: dict[str, Any]) -> Iterator[None]:
    """Keep other commands from writing the same files meanwhile."""
    with ExitStack() as stack:
        for place in ("out", "html"):
            if chosen[place]:
                stack.enter_context(Claim.on(chosen[place].absolute()))
        yield


def write_history(found: History, chosen: dict[str, Any]) -> int:
    """Print a history, and write the files that were asked for; the exit status."""
    _write(found, chosen)
    if chosen["html"]:
        write_history_page(found, chosen["html"])
        Output.of(chosen).say(f"The page is in {chosen['html']}")
    if chosen["form"] == "markdown":
        print_bytes(show.to_markdown(found).encode())
    elif chosen["form"] == "text":
        show.render(found, Console())
    return DIVERGENT if any(change.rows for change in found.changes) else FINE


def write_bisection(found: Bisection, chosen: dict[str, Any]) -> int:
    """Print a bisection, and write its JSON where that was asked for; the exit status."""
    _write(found, chosen)
    if chosen["form"] == "markdown":
        print_bytes(show.bisection_to_markdown(found).encode())
    elif chosen["form"] == "text":
        show.render_bisection(found, Console())
    return DIVERGENT


def _write(found: History | Bisection, chosen: dict[str, Any]) -> None:
    encoded = show.to_json(found)
    if chosen["out"]:
        api.write_result(chosen["out"], encoded)
    if chosen["form"] == "json":
        print_bytes(encoded)
