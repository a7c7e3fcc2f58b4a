"""``forkpoint report``: print or write the report of something compared before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from forkpoint import api
from forkpoint.cli import _options
from forkpoint.cli._show import Output
from forkpoint.errors import UsageError
from forkpoint.model import Comparison
from forkpoint.report import read_comparison


@click.command(
    epilog="""
    \b
    Examples:
      forkpoint report forkpoint-results/encode-20261123-210000 --html report.html
      forkpoint report rec-a rec-b --html report.html
      forkpoint report comparison.json --format markdown
    """
)
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@_options.tolerance_options
@_options.output_options
def report(paths: tuple[Path, ...], **chosen: Any) -> int:
    """Report on PATHS: a results folder, a JSON result, or two recordings."""
    if len(paths) == 1:
        comparison = saved(paths[0])
    elif len(paths) == 2:
        tolerance = _options.tolerance(chosen, _options.config_here())
        comparison = api.diff(*paths, tolerance=tolerance)
    else:
        raise UsageError(
            f"report takes one result or two recordings, not {len(paths)} paths.",
            hint="For example: forkpoint report rec-a rec-b --html report.html",
        )
    return Output.of(chosen).show(comparison)


def saved(path: Path) -> Comparison:
    """The result in a file, or in a results folder; raises `UsageError` where there is none."""
    inside = path.is_dir()
    file = path / "comparison.json" if inside else path
    try:
        return read_comparison(file, named=not inside)
    except FileNotFoundError:
        raise UsageError(
            f"There is no result at {file}.",
            hint="Name a folder that 'forkpoint compare' made, a JSON result, or two recordings.",
        ) from None
