"""``forkpoint env``: the environments that forkpoint has built."""

from __future__ import annotations

import time
from typing import Any

import click
import msgspec
from rich import box
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from forkpoint import api
from forkpoint.cli import _options
from forkpoint.cli._show import Output, print_bytes
from forkpoint.environments import CacheEntry, Environment, EnvironmentCache, parse_size
from forkpoint.errors import UsageError

_form = click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to print the result.",
)


@click.group(
    epilog="""
    \b
    Examples:
      forkpoint env list
      forkpoint env build --env new='torch==2.10.0' --with transformers==4.57.6
      forkpoint env prune --keep 20GB
    """
)
def env() -> None:
    """List, show, build and remove environments."""


@env.command("list", epilog="\b\nExample:\n  forkpoint env list --format json")
@_form
def list_(form: str) -> int:
    """List built environments, the least recently used first."""
    with EnvironmentCache() as cache:
        entries = cache.entries()
        if form == "json":
            _print_json([_described(entry) for entry in entries])
            return 0
        if not entries:
            click.echo(f"No environment is built yet; they go to {cache.root}")
            return 0
        Console().print(_table(entries))
        total = decimal(sum(entry.size for entry in entries))
        click.echo(f"{len(entries)} in {cache.root}, {total} of at most {decimal(cache.max_bytes)}")
    return 0


@env.command(epilog="\b\nExample:\n  forkpoint env show 3f9a")
@click.argument("key")
@_form
def show(key: str, form: str) -> int:
    """Show one environment, by the start of its KEY or by its name."""
    with EnvironmentCache() as cache:
        entry = _find(cache.entries(), key)
    if form == "json":
        _print_json(_described(entry))
        return 0
    click.echo(f"key      {entry.key}\nspec     {entry.spec}\nfolder   {entry.path}")
    click.echo(f"size     {decimal(entry.size)}\nused     {_when(entry.last_used)}")
    click.echo("packages\n" + "\n".join(f"  {line}" for line in entry.lock))
    return 0


@env.command(epilog="\b\nExample:\n  forkpoint env prune --keep 20GB")
@click.option(
    "--keep",
    type=parse_size,
    metavar="SIZE",
    default=0,
    help="Remove only until this much is left, the least recently used first.",
)
@_form
def prune(keep: int, form: str) -> int:
    """Remove built environments that nobody uses now."""
    with EnvironmentCache() as cache:
        removed = cache.prune(keep)
    if form == "json":
        _print_json([_described(entry) for entry in removed])
    else:
        freed = decimal(sum(entry.size for entry in removed))
        click.echo(f"Removed {len(removed)} environments, {freed}")
    return 0


@env.command(epilog="\b\nExample:\n  forkpoint env build --env new='torch==2.10.0'")
@click.option("--env", "envs", multiple=True, required=True, metavar="NAME='TOKENS'")
@_options.build_options
@_form
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def build(**chosen: Any) -> int:
    """Build environments, so that later commands find them ready."""
    config = _options.config_here()
    names = [f"env{number}" for number in range(1, len(chosen["envs"]) + 1)]
    specs = _options.environments(chosen["envs"], names, chosen, config)
    with Output("text", None, chosen["quiet"]).watch() as watch:
        built = api.build_environments(
            specs,
            options=api.Options(
                torch_backend=chosen["torch_backend"],
                max_cache=chosen["max_cache"] if chosen["max_cache"] else config.max_cache,
            ),
            observer=watch,
        )
    if chosen["form"] == "json":
        _print_json([_built(environment) for environment in built])
    else:
        for environment in built:
            click.echo(f"{environment.name}: {environment.python}")
    return 0


def _find(entries: list[CacheEntry], key: str) -> CacheEntry:
    found = [e for e in entries if e.key.startswith(key) or key in e.names]
    if len(found) == 1:
        return found[0]
    what = "No built environment is" if not found else f"{len(found)} built environments are"
    raise UsageError(f"{what} called {key!r}.", hint="'forkpoint env list' shows all keys.")


def _table(entries: list[CacheEntry]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim")
    for heading in ("key", "names", "requirements"):
        table.add_column(heading, overflow="fold")
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("last used", no_wrap=True)
    for entry in entries:
        state = "in use" if entry.in_use else _when(entry.last_used)
        spec = entry.spec if entry.built else "(half-built)"
        cells = (entry.key[:12], ", ".join(entry.names), spec, decimal(entry.size), state)
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _described(entry: CacheEntry) -> dict[str, object]:
    return {
        "key": entry.key,
        "names": list(entry.names),
        "spec": entry.spec,
        "path": str(entry.path),
        "size": entry.size,
        "shared": entry.shared,
        "last_used": entry.last_used,
        "in_use": entry.in_use,
        "lock": list(entry.lock),
    }


def _built(environment: Environment) -> dict[str, object]:
    return {
        "name": environment.name,
        "spec": environment.spec.text,
        "key": environment.key,
        "python": str(environment.python),
        "lock": list(environment.lock),
        "notes": list(environment.notes),
    }


def _print_json(value: object) -> None:
    print_bytes(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
