"""``forkpoint diff``: compare two recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from forkpoint import api
from forkpoint.cli import _options
from forkpoint.cli._show import Output


@click.command(
    epilog="""
    \b
    Examples:
      forkpoint diff rec-a rec-b
      forkpoint diff rec-a rec-b --tolerance bitwise --format json > result.json
    """
)
@click.argument("baseline", type=click.Path(path_type=Path))
@click.argument("candidate", type=click.Path(path_type=Path))
@_options.tolerance_options
@_options.output_options
def diff(baseline: Path, candidate: Path, **chosen: Any) -> int:
    """Compare the recordings in the folders BASELINE and CANDIDATE."""
    tolerance = _options.tolerance(chosen, _options.config_here())
    return Output.of(chosen).show(api.diff(baseline, candidate, tolerance=tolerance))
