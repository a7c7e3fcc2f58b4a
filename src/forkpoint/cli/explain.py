"""``forkpoint explain``: experiments on what was compared before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from forkpoint import api
from forkpoint.cli import _options
from forkpoint.cli._show import Output
from forkpoint.diagnose import EXPERIMENTS, SEARCH
from forkpoint.errors import UsageError

_ABOUT = {
    "origins": "which op calls give other bits from the same inputs",
    "replay": "do the origins differ outside of the script, too",
    "sufficiency": "are all steps identical with the origins' outputs substituted",
    "repeatability": "does each environment give its own bits again",
    "necessity": "is each origin needed to explain the difference",
    "oracle": "how far is each side from the float64 value",
    "crop": "does the difference depend on a dimension of the script's input",
    "sweep": "which sizes, dtypes and memory layouts trigger it",
    "kernels": "which library kernel ran on each side",
    "interventions": "which setting makes the difference vanish",
}


@click.command(
    epilog="""
    \b
    Examples:
      forkpoint explain forkpoint-results/encode-20261124-210000
      forkpoint explain forkpoint-results/encode-20261124-210000 --only sweep --only kernels
      forkpoint explain --list
    """
)
@click.argument("result", required=False, type=click.Path(path_type=Path))
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    help="Do this experiment only, on the origins that are known. Repeatable.",
)
@click.option("--list", "listed", is_flag=True, help="List the experiments, and stop.")
@_options.crop_option
@click.option("--timeout", type=float, metavar="SECONDS", help="Time limit for each run.")
@_options.jobs_option
@_options.output_options
def explain(result: Path | None, only: tuple[str, ...], listed: bool, **chosen: Any) -> int:
    """Say why two runs differ: search for the origins, and experiment on them.

    RESULT is a folder that 'forkpoint compare' left. What is found is added to its
    comparison.json. Exit status: 1 where the runs differ (they do), 2 error.
    """
    if listed:
        _list(Console())
        return 0
    if result is None:
        raise UsageError(
            "Name the results to explain.",
            hint="A folder that 'forkpoint compare' left, such as forkpoint-results/encode-....",
        )
    output = Output.of(chosen)
    with output.watch() as watch:
        finished = api.explain(
            result,
            only=only or None,
            options=api.Options(
                timeout=chosen["timeout"], crop=_options.crop(chosen), jobs=chosen["jobs"]
            ),
            observer=watch,
        )
    return output.show(finished.comparison)


def _list(console: Console) -> None:
    table = Table(box=None, show_header=False)
    for name in (*SEARCH, *EXPERIMENTS):
        table.add_row(name, _ABOUT[name])
    console.print(table)
