"""``forkpoint history``: what changed, release by release."""

from __future__ import annotations

from typing import Any

import click

from forkpoint import api
from forkpoint.cli._history_options import range_options, read_range, read_subject
from forkpoint.cli._history_output import output_options, own_output, write_history
from forkpoint.cli._show import Output


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
    help="Random inputs for each row of the catalogue; up to four times as many where a change "
    "in half precision is rare.",
)
@click.option(
    "--op", "ops", multiple=True, metavar="WORD", help="Only ops of the catalogue with this word."
)
@range_options
@output_options
@click.option("-m", "module", metavar="MODULE", help="Run a module, as python -m does.")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[SCRIPT|CAPSULE...] [-- ARGS]")
def history(**chosen: Any) -> int:
    """Run something in every release of a package, and say where its bits change.

    What was measured is kept, so the same command is answered at once the next time, and one
    that was interrupted goes on where it was.
    """
    subject = read_subject(chosen)
    with own_output(chosen):
        with Output.of(chosen).watch() as watch:
            found = api.history(subject, read_range(chosen, chosen["releases"]), observer=watch)
        return write_history(found, chosen)
