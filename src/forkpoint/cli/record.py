"""``forkpoint record``: run a script in one environment and keep what its models computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from forkpoint import api
from forkpoint.cli import _options
from forkpoint.cli._show import Output, print_bytes
from forkpoint.errors import UsageError


@click.command(
    epilog="""
    \b
    Examples:
      forkpoint record --env 'python=/path/to/venv' --out rec-a encode.py
      forkpoint record --env 'torch==2.10.0 threads=1' --level op --steps 0:10 --out rec-b encode.py
      forkpoint diff rec-a rec-b
    """
)
@click.option(
    "--env", "envs", multiple=True, metavar="[NAME=]'TOKENS'", help="The environment to run in."
)
@_options.build_options
@click.option(
    "--level",
    type=click.Choice(["module", "op"]),
    default="module",
    show_default=True,
    help="How finely to record.",
)
@_options.run_options
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Folder for the recording."
)
@click.option("-q", "--quiet", is_flag=True, help="No progress, and none of the script's output.")
@_options.workload_arguments
def record(**chosen: Any) -> int:
    """Run SCRIPT in one environment and record every forward pass.

    The path of the recording is printed; compare two with 'forkpoint diff'. Output of the
    script is kept beside it, in OUT.logs.
    """
    config = _options.config_here()
    environments = _options.environments(chosen["envs"], (chosen["out"].name,), chosen, config)
    if len(environments) != 1:
        raise UsageError(
            f"record takes one environment, not {len(environments)}.",
            hint="For example --env 'torch==2.10.0', or --env 'python=/path/to/venv'.",
        )
    output = Output("text", None, chosen["quiet"])
    with output.watch() as watch:
        result = api.record(
            _options.workload(chosen),
            chosen["out"],
            environment=environments[0],
            options=_options.options(chosen, config),
            observer=watch,
        )
    result.raise_for_failure()
    print_bytes(f"{chosen['out']}\n".encode())
    output.say(f"{result.steps} steps recorded in {result.seconds:.1f} s; logs in {result.logs}")
    if result.storage_full and not result.refused:
        output.say("Not all outputs were kept: raise --max-storage to have differences measured.")
    return 0
