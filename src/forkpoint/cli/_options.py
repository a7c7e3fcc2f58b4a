"""Options that several verbs share, and reading them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from forkpoint.api import Options
from forkpoint.compare import PRESETS, parse_tolerance
from forkpoint.diagnose import parse_crop
from forkpoint.environments import (
    Config,
    EnvironmentSpec,
    load_config,
    parse_size,
    parse_spec,
    with_requirements,
)
from forkpoint.host import Workload, half_open
from forkpoint.model import Tolerance
from forkpoint_worker.settings import CHOICES

F = TypeVar("F", bound=Callable[..., Any])
Chosen = dict[str, Any]


def together(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    """One decorator out of several; help shows their options in this order."""
    return lambda function: reduce(lambda f, decorate: decorate(f), reversed(decorators), function)


crop_option = click.option(
    "--crop",
    metavar="dim=1:70",
    help="What the crop experiment crops the inputs of differing steps to: here, dimension 1 to "
    "its first 70.  [default: sizes at which steps agree]",
)

format_option = click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "markdown"]),
    default="text",
    show_default=True,
    help="How to print the result.",
)

output_options = together(
    format_option,
    click.option(
        "--html",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Also write one self-contained HTML report.",
    ),
    click.option(
        "-q", "--quiet", is_flag=True, help="No progress, and none of the script's output."
    ),
)

tolerance_options = together(
    click.option(
        "--tolerance",
        metavar="|".join(PRESETS),
        help="What counts as close: torch.testing's defaults (torch, the default), equal bits "
        "(bitwise), or the limits of bitsandbytes (bnb).",
    ),
    click.option(
        "--atol", multiple=True, metavar="[OUTPUT:]X", help="An absolute limit of your own."
    ),
    click.option(
        "--rtol", multiple=True, metavar="[OUTPUT:]X", help="A relative limit of your own."
    ),
)

build_options = together(
    click.option(
        "--with",
        "extra",
        multiple=True,
        metavar="REQ",
        help="A requirement for every environment. Repeatable.",
    ),
    click.option("--python", metavar="3.11|PATH", help="The Python of environments to build."),
    click.option(
        "--torch-backend",
        default="auto",
        show_default=True,
        metavar="auto|cpu|cu128|…",
        help="Which builds of torch to install; auto looks for a GPU.",
    ),
    click.option(
        "--max-cache",
        type=parse_size,
        metavar="SIZE",
        help="Keep at most this much of built environments.",
    ),
)

run_options = together(
    click.option(
        "--steps",
        multiple=True,
        metavar="FIRST:STOP",
        help="Look into these steps only, as in 0:10. Repeatable.",
    ),
    click.option(
        "--timeout", type=float, metavar="SECONDS", help="End a run of the script after this."
    ),
    click.option(
        "--max-storage",
        type=parse_size,
        metavar="SIZE",
        help="Bytes of tensors to keep.  [default: 500MB]",
    ),
    click.option("--force", is_flag=True, help="Replace older results of forkpoint at --out."),
    click.option(
        "--watch",
        multiple=True,
        metavar="MODULE:FUNCTION",
        help="Record the calls of this function, too: its arguments and results. Repeatable.",
    ),
)

trust_option = click.option(
    "--trust",
    is_flag=True,
    help="Run what a capsule asks for, whatever library its op is of (the package of that name is "
    "imported), and without limits on memory and time. Only for capsules of your own.",
)

jobs_option = click.option(
    "--jobs",
    type=click.IntRange(1, 2),
    default=1,
    show_default=True,
    help="2 runs both environments at once: faster where one leaves cores idle; they share "
    "memory, and files that the script writes.",
)

workload_arguments = together(
    click.option("-m", "module", metavar="MODULE", help="Run a module, as python -m does."),
    click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="SCRIPT [-- ARGS...]"),
)


def workload(chosen: Chosen) -> Workload:
    """The script or module that the command line names."""
    words = chosen["words"]
    if chosen["module"]:
        return Workload(module=chosen["module"], argv=tuple(words))
    script = Path(words[0]) if words else None
    return Workload(script=script, argv=tuple(words[1:]))


def tolerance(chosen: Chosen, config: Config) -> Tolerance:
    """The tolerance that options, or else the project's file, ask for."""
    numbers = any(":" not in one for one in (*chosen["atol"], *chosen["rtol"]))
    preset = chosen["tolerance"] or (None if numbers else config.tolerance)
    return parse_tolerance(preset, atol=chosen["atol"], rtol=chosen["rtol"])


def options(chosen: Chosen, config: Config) -> Options:
    """Everything but environments and workload."""
    defaults = Options()
    storage = _first(chosen["max_storage"], config.max_storage, defaults.max_storage)
    return Options(
        level=chosen.get("level") or defaults.level,
        steps=half_open(chosen["steps"]),
        tolerance=tolerance(chosen, config) if "tolerance" in chosen else defaults.tolerance,
        timeout=_first(chosen["timeout"], config.timeout),
        max_storage=cast("int", storage),
        max_cache=_first(chosen["max_cache"], config.max_cache),
        torch_backend=chosen["torch_backend"],
        jobs=chosen.get("jobs") or defaults.jobs,
        out=chosen["out"],
        force=chosen["force"],
        artifacts=chosen.get("artifacts"),
        relevance=chosen.get("qrels"),
        diagnose=not chosen.get("no_diagnose"),
        experiments=chosen.get("experiments") or None,
        crop=crop(chosen),
        watch=tuple(dict.fromkeys((*config.watch, *chosen.get("watch", ())))),
        swap=tuple(chosen.get("swap", ())),
    )


def crop(chosen: Chosen) -> tuple[int, int, int] | None:
    """What ``--crop`` says."""
    return parse_crop(chosen["crop"]) if chosen.get("crop") else None


def environments(
    texts: Sequence[str], names: Sequence[str], chosen: Chosen, config: Config
) -> list[EnvironmentSpec]:
    """The environments that ``--env`` names, or else those of the project's file.

    ``names`` are for those that were given without one.
    """
    specs = [
        read_environment(text, name, config)
        for text, name in zip(texts, [*names, *[""] * len(texts)], strict=False)
    ] or list(config.environments.values())
    return [_completed(spec, chosen, config) for spec in specs]


def read_environment(text: str, name: str, config: Config) -> EnvironmentSpec:
    """``NAME=TOKENS``; ``NAME`` of the project's file; or bare tokens, called ``name``."""
    if text in config.environments:
        return config.environments[text]
    first = text.split(maxsplit=1)[0] if text.split() else ""
    key, equals, rest = first.partition("=")
    compared = rest.startswith("=") or key.endswith(("<", ">", "!", "~"))  # torch>=2.10
    bare = not equals or compared or key in CHOICES or key == "python"
    if bare and name:
        return parse_spec(f"{name}={text}")
    return parse_spec(text)


def config_here() -> Config:
    """The project's settings, from the current folder upwards."""
    return load_config(Path.cwd())


def _completed(spec: EnvironmentSpec, chosen: Chosen, config: Config) -> EnvironmentSpec:
    spec = with_requirements(spec, (*config.with_requirements, *chosen["extra"]))
    if spec.python is None and chosen["python"]:
        spec = replace(spec, python=parse_spec(f"python=python={chosen['python']}").python)
    return spec


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)
