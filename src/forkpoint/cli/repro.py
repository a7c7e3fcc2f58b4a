"""``forkpoint repro``: a capsule as a script that needs torch only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console

from forkpoint import api
from forkpoint.cli import _options
from forkpoint.cli._show import Output, print_bytes
from forkpoint.report.words import plain
from forkpoint.repro import shapes_text


@click.command(
    epilog="""
    \b
    Examples:
      forkpoint repro --env old=torch==2.9.1 --env new=torch==2.10.0 --out repro \\
          forkpoint-results/encode-.../capsules/01-native_layer_norm/old
      forkpoint repro --out repro CAPSULE
    """
)
@click.option(
    "--env",
    "envs",
    multiple=True,
    metavar="NAME='TOKENS'",
    help="An environment, as for compare. Two of them, or none: the first gives the expected "
    "results, the other differs.",
)
@_options.build_options
@click.option("--timeout", type=float, metavar="SECONDS", help="Time limit for each process.")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="A new folder for the script."
)
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True
)
@_options.trust_option
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@click.argument("capsule", type=click.Path(path_type=Path))
def repro(capsule: Path, out: Path, **chosen: Any) -> int:
    """Write a folder that shows CAPSULE's difference with torch alone.

    With two environments, the input is made as small as the difference allows, and the script is
    run in both. Exit status: 0 written (and seen to show it), 1 written but not seen to, 2 error.
    """
    config = _options.config_here()
    environments = []
    if chosen["envs"]:
        names = ("baseline", "candidate")
        environments = _options.environments(chosen["envs"], names, chosen, config)
    output = Output(chosen["form"], None, chosen["quiet"])
    options = api.Options(
        timeout=chosen["timeout"],
        max_cache=chosen["max_cache"],
        torch_backend=chosen["torch_backend"],
        trust=chosen["trust"],
    )
    with output.watch() as watch:
        made = api.repro(capsule, environments, out=out, options=options, observer=watch)
    if chosen["form"] == "json":
        encoded = msgspec.json.encode(made, enc_hook=str)
        print_bytes(msgspec.json.format(encoded, indent=2) + b"\n")
    else:
        _render(made, Console(highlight=False, soft_wrap=True))
    return 0 if made.verified in (True, None) else 1


def _render(made: api.Reproducer, console: Console) -> None:
    console.print(f"{plain(made.op)}: inputs of {shapes_text(made.shapes)}", markup=False)
    if made.tried:
        console.print(
            f"made smaller from {shapes_text(made.recorded)}, by {made.tried:,} trials in both",
            markup=False,
        )
    for one in made.shown:
        console.print(f"\n[{one.environment}]", markup=False)
        for line in one.output.rstrip().splitlines():
            console.print(plain(line), markup=False)
    if made.verified is False:
        console.print("\nThe script alone does not show the difference: see ISSUE.md.")
    console.print(f"\n{made.folder} holds repro.py, inputs.bin, expected.bin and ISSUE.md")
