"""``forkpoint compare``: one script, two environments, one verdict."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from forkpoint import api
from forkpoint.cli import _options
from forkpoint.cli._show import Output

_OUTPUT_FLAGS = {"-q", "--quiet", "--force"}
_OUTPUT_VALUES = {"--out", "--html", "--format"}


@click.command(
    epilog="""
    \b
    Examples:
      forkpoint compare --env old='torch==2.9.1' --env new='torch==2.10.0' encode.py
      forkpoint compare --env a=python=/path/to/venv-a --env b=python=/path/to/venv-b encode.py
      forkpoint compare --env one='torch==2.10.0 threads=1' --env two='torch==2.10.0 threads=2' \\
          --with transformers==4.57.6 encode.py -- --batch-size 32
    """
)
@click.option(
    "--env",
    "envs",
    multiple=True,
    metavar="NAME='TOKENS'",
    help="An environment: requirements, python=..., VARIABLE=value, setting=value. Two of them; "
    "the first is the baseline.",
)
@_options.build_options
@click.option(
    "--level",
    type=click.Choice(["module", "op"]),
    default="module",
    show_default=True,
    help="module: find the steps that differ, then look into some of them op by op. "
    "op: record every op of every step.",
)
@_options.run_options
@_options.tolerance_options
@_options.jobs_option
@click.option(
    "--no-diagnose",
    is_flag=True,
    help="Find where the runs part ways, and do not search for the ops that are the cause.",
)
@click.option(
    "--only",
    "experiments",
    multiple=True,
    metavar="EXPERIMENT",
    help="Try this experiment only on the ops that are the cause (forkpoint explain --list names "
    "them). Repeatable.  [default: all]",
)
@_options.crop_option
@click.option(
    "--swap",
    multiple=True,
    metavar="MODULE:FUNCTION",
    help="Watch this function, and run the candidate once more with the baseline's results of it "
    "in place of its own: does what comes after become identical? F+G swaps two at once. "
    "Repeatable.",
)
@click.option(
    "--artifacts",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="A file or folder that the script writes: compare what the two runs wrote, too.",
)
@click.option(
    "--qrels",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Relevance judgements (query 0 document grade) to measure rankings by. The script may "
    "write them, below --artifacts.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder for everything made.  [default: forkpoint-results/SCRIPT-TIME]",
)
@_options.output_options
@_options.workload_arguments
def compare(**chosen: Any) -> int:
    """Run SCRIPT in two environments and find where they part ways.

    The environments are built and kept for next time; the script runs unmodified, in the
    current folder. Its own arguments go behind --.
    """
    config = _options.config_here()
    environments = _options.environments(chosen["envs"], ("baseline", "candidate"), chosen, config)
    output = Output.of(chosen)
    workload = _options.workload(chosen)
    with output.watch() as watch:
        finished = api.run_comparison(
            workload,
            environments,
            options=_options.options(chosen, config),
            observer=watch,
            reproduce=command_line(sys.argv[1:]),
        )
    for failure in finished.failures:
        watch.failed(failure)
    status = output.show(finished.comparison)
    output.say(f"Everything is kept in {finished.folder}")
    return status


def command_line(words: Sequence[str]) -> str:
    """The command as it was given, quoted for a shell, without where its output went."""
    kept: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--":
            kept += [word, *rest]
        elif word in _OUTPUT_VALUES:
            next(rest, None)
        elif word not in _OUTPUT_FLAGS and word.partition("=")[0] not in _OUTPUT_VALUES:
            kept.append(word)
    return shlex.join(["forkpoint", *kept])
