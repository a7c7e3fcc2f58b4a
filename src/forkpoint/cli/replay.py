"""``forkpoint replay``: single op calls, run again in another environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console

from forkpoint import api
from forkpoint.claims import scratch_folder
from forkpoint.cli import _options
from forkpoint.cli._errors import DIVERGENT, FINE, TROUBLE
from forkpoint.cli._show import Output, print_bytes
from forkpoint.report import plain_table
from forkpoint.report.words import number, operator, ulp

_COLUMNS = ("environment", "result", "max abs", "max ULP")
_SAID = {
    True: "same bits as recorded",
    False: "other bits",
    None: "nothing was compared",
}


@click.command(
    epilog="""
    \b
    Examples:
      forkpoint replay --env torch==2.10.0 forkpoint-results/encode-.../capsules/01-*/old
      forkpoint replay --env old=torch==2.9.1 --env new=torch==2.10.0 CAPSULE --format json
    """
)
@click.option(
    "--env",
    "envs",
    multiple=True,
    required=True,
    metavar="NAME='TOKENS'",
    help="An environment to replay in, as for compare. Repeatable.",
)
@_options.build_options
@click.option("--timeout", type=float, metavar="SECONDS", help="Time limit for each process.")
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True
)
@_options.trust_option
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@click.argument("capsules", nargs=-1, required=True, type=click.Path(path_type=Path))
def replay(**chosen: Any) -> int:
    """Run the op call of each CAPSULE again and compare its outputs with the recorded bits.

    A capsule is a folder with capsule.json, as compare leaves one for each origin. Exit status:
    0 all gave the recorded bits, 1 some did not or could not be run, 2 an error, or nothing was
    compared.
    """
    config = _options.config_here()
    names = [f"env{place}" for place in range(1, len(chosen["envs"]) + 1)]
    environments = _options.environments(chosen["envs"], names, chosen, config)
    output = Output(chosen["form"], None, chosen["quiet"])
    options = api.Options(
        timeout=chosen["timeout"],
        max_cache=chosen["max_cache"],
        torch_backend=chosen["torch_backend"],
        trust=chosen["trust"],
    )
    with output.watch() as watch, scratch_folder() as logs:
        found = api.replay_capsules(
            chosen["capsules"], environments, logs=logs, options=options, observer=watch
        )
    if chosen["form"] == "json":
        print_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
    else:
        _render(found, Console())
    if all(one.equal for one in found):
        return FINE
    return TROUBLE if all(one.equal or _compared_nothing(one) for one in found) else DIVERGENT


def _compared_nothing(one: api.CapsuleReplay) -> bool:
    return one.status == "ran" and one.equal is None


def _render(found: tuple[api.CapsuleReplay, ...], console: Console) -> None:
    """A table for each capsule, so that long names stand above the columns."""
    capsules: dict[tuple[str, str], list[api.CapsuleReplay]] = {}
    for one in found:
        capsules.setdefault((one.capsule, one.op), []).append(one)
    for (capsule, op), replays in capsules.items():
        rows = [_cells(one) for one in replays]
        console.print(plain_table(f"{operator(op)} from {capsule}", _COLUMNS, rows))


def _cells(one: api.CapsuleReplay) -> tuple[str, ...]:
    said = _SAID[one.equal] if one.status == "ran" else f"{one.status}: {one.reason}"
    if one.status == "ran" and not one.repeatable:
        said += ", and not the same twice"
    return (
        one.environment,
        said,
        "-" if one.max_abs is None else number(one.max_abs),
        "-" if one.max_ulp is None else ulp(one.max_ulp),
    )
