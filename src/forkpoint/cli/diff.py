"""``forkpoint diff``: compare two recordings, or two folders of files."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from forkpoint import api
from forkpoint.artifacts import Unpack
from forkpoint.cli import _options
from forkpoint.cli._show import Output
from forkpoint.environments import Config
from forkpoint.errors import UsageError
from forkpoint.host import is_recording


@click.command(
    epilog="""
    \b
    Examples:
      forkpoint diff rec-a rec-b
      forkpoint diff rec-a rec-b --tolerance bitwise --format json > result.json
      forkpoint diff index-a index-b --env 'torch>=2.10'
      forkpoint diff a.run b.run --qrels judged.txt
    """
)
@click.argument("baseline", type=click.Path(path_type=Path))
@click.argument("candidate", type=click.Path(path_type=Path))
@click.option(
    "--qrels",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Relevance judgements (query 0 document grade) to measure rankings by.",
)
@click.option(
    "--env",
    "envs",
    multiple=True,
    metavar="'TOKENS'",
    help="An environment to read files of torch.save in (torch 2.10 or newer), weights only. "
    "Repeatable: the first one that can is taken.",
)
@_options.build_options
@_options.tolerance_options
@_options.output_options
def diff(baseline: Path, candidate: Path, **chosen: Any) -> int:
    """Compare BASELINE and CANDIDATE: recordings, or any two folders or files.

    Files are compared by content: arrays element by element, JSON value by value, rankings
    query by query, indexes stage by stage. Pickles are read in a process of --env, and nowhere
    else.
    """
    config = _options.config_here()
    tolerance = _options.tolerance(chosen, config)
    output = Output.of(chosen)
    if not _of_files(baseline, candidate):
        return output.show(api.diff(baseline, candidate, tolerance=tolerance))
    with ExitStack() as stack:
        unpack = _unpack(stack, output, chosen, config)
        result = api.diff_artifacts(
            baseline, candidate, tolerance=tolerance, relevance=chosen["qrels"], unpack=unpack
        )
    return output.show_artifacts(result)


def _unpack(
    stack: ExitStack, output: Output, chosen: dict[str, Any], config: Config
) -> Unpack | None:
    """What reads files of torch.save: nothing, unless environments are named."""
    if not chosen["envs"]:
        return None
    names = [f"reader{number}" for number in range(1, len(chosen["envs"]) + 1)]
    environments = _options.environments(chosen["envs"], names, chosen, config)
    options = api.Options(max_cache=chosen["max_cache"], torch_backend=chosen["torch_backend"])
    watch = stack.enter_context(output.watch())
    return stack.enter_context(api.unpacking(environments, options=options, observer=watch))


def _of_files(baseline: Path, candidate: Path) -> bool:
    """Whether both are plain folders or files; a damaged recording is still one."""
    ours = [_looks_recorded(path) for path in (baseline, candidate)]
    there = [path.exists() for path in (baseline, candidate)]
    if all(there) and ours[0] != ours[1]:
        raise UsageError(
            f"{baseline if ours[0] else candidate} is a recording, and the other is not.",
            hint="Name two recordings, or two folders of files.",
        )
    return all(there) and not any(ours)


def _looks_recorded(path: Path) -> bool:
    return is_recording(path) or (path / "index.sqlite").exists()
