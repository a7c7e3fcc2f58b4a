"""``forkpoint history``: what changed, release by release."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console

from forkpoint import api
from forkpoint.bisect import History
from forkpoint.cli._history_options import range_options, read_range, read_subject
from forkpoint.cli._show import Output, print_bytes
from forkpoint.report import history as show
from forkpoint.report.history_page import write_history_page


@click.command(
    epilog="""
    \b
    Examples:
      forkpoint history --catalogue --releases 'torch>=2.9,<2.12'
      forkpoint history --releases 'torch>=2.9,<2.12' encode.py
      forkpoint history --releases 'torch>=2.0,<2.16' --newest-patch --max-cache 25GB encode.py
    """
)
@click.option(
    "--releases", required=True, metavar="REQ", help="Which releases, as in 'torch>=2.0,<2.16'."
)
@click.option("--catalogue", is_flag=True, help="Run the built-in op calls; no script is needed.")
@click.option(
    "--inputs",
    type=click.IntRange(1, 1000),
    default=4,
    show_default=True,
    help="Random inputs for each call of the catalogue.",
)
@click.option(
    "--op", "ops", multiple=True, metavar="WORD", help="Only ops of the catalogue with this word."
)
@range_options
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "markdown"]),
    default="text",
    show_default=True,
)
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Also write a page.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the JSON result here, too.",
)
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@click.option("-m", "module", metavar="MODULE", help="Run a module, as python -m does.")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[SCRIPT|CAPSULE...] [-- ARGS]")
def history(**chosen: Any) -> int:
    """Run something in every release of a package, and say where its bits change.

    What was measured is kept, so the same command is answered at once the next time, and one
    that was interrupted goes on where it was.
    """
    output = Output(chosen["form"], chosen["html"], chosen["quiet"])
    subject = read_subject(chosen)
    with output.watch() as watch:
        found = api.history(subject, read_range(chosen, chosen["releases"]), observer=watch)
    _write(found, chosen)
    if chosen["html"]:
        output.say(f"The page is in {chosen['html']}")
    return int(any(change.rows for change in found.changes))


def _write(found: History, chosen: dict[str, Any]) -> None:
    encoded = show.to_json(found)
    if chosen["out"]:
        chosen["out"].write_bytes(encoded)
    if chosen["html"]:
        write_history_page(found, chosen["html"])
    if chosen["form"] == "json":
        print_bytes(encoded)
    elif chosen["form"] == "markdown":
        print_bytes(show.to_markdown(found).encode())
    else:
        show.render(found, Console())
