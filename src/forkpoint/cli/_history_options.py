"""What ``forkpoint history`` and ``forkpoint bisect`` share: options, and reading the subject."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from forkpoint import api
from forkpoint.bisect import Script, Subject
from forkpoint.cli import _options
from forkpoint.environments import parse_size
from forkpoint.errors import UsageError
from forkpoint_worker.settings import CHOICES

range_options = _options.together(
    click.option("--newest-patch", is_flag=True, help="Of each minor release, the last one only."),
    click.option("--prereleases", is_flag=True, help="Pre-releases, too."),
    click.option("--yanked", is_flag=True, help="Yanked releases, too."),
    click.option(
        "--with",
        "extra",
        multiple=True,
        metavar="REQ",
        help="A requirement for every environment. Repeatable.",
    ),
    click.option(
        "--constraint",
        "constraints",
        multiple=True,
        metavar="'RELEASES: REQ'",
        help="What some releases need, as in 'torch<2.3: numpy<2'. Repeatable.",
    ),
    click.option(
        "--axis",
        "axes",
        multiple=True,
        metavar="SETTING=A,B",
        help="Measure at several values of a torch setting, as in threads=1,2. Repeatable.",
    ),
    click.option("--python", default=api.PYTHON, show_default=True, metavar="3.11|PATH"),
    click.option("--torch-backend", default="auto", show_default=True, metavar="auto|cpu|cu128|…"),
    click.option(
        "--max-cache",
        type=parse_size,
        metavar="SIZE",
        help="Keep environments and their packages below this, and remove old ones meanwhile.",
    ),
    click.option("--refresh", is_flag=True, help="Resolve packages anew, also where known."),
)


def read_range(chosen: Mapping[str, Any], releases: str) -> api.Range:
    """The range of releases that the options ask for."""
    return api.Range(
        releases=releases,
        newest_patch=chosen["newest_patch"],
        prereleases=chosen["prereleases"],
        yanked=chosen["yanked"],
        python=chosen["python"],
        also=tuple(chosen["extra"]),
        constraints=tuple(chosen["constraints"]),
        axes=read_axes(chosen["axes"]),
        max_cache=chosen["max_cache"],
        torch_backend=chosen["torch_backend"],
        refresh=chosen["refresh"],
    )


def read_axes(texts: tuple[str, ...]) -> tuple[dict[str, str], ...]:
    """All combinations of the values: ``threads=1,2`` are two."""
    axes: list[list[tuple[str, str]]] = []
    for text in texts:
        name, equals, values = text.partition("=")
        if not equals or name not in CHOICES or not all(values.split(",")):
            raise UsageError(
                f"--axis {text!r} cannot be read.",
                hint=f"Write threads=1,2. The settings are {', '.join(CHOICES)}.",
            )
        axes.append([(name, value) for value in values.split(",")])
    return tuple(dict(one) for one in itertools.product(*axes))


def read_subject(chosen: Mapping[str, Any]) -> Subject:
    """The catalogue, or the script that the command line names."""
    words = chosen["words"]
    if chosen.get("catalogue"):
        if words:
            raise UsageError(
                "--catalogue brings its own calls and takes no script.",
                hint=f"Leave away either --catalogue or {words[0]}.",
            )
        raise _without_replay("The calls of the catalogue")
    if words and (Path(words[0]) / "capsule.json").is_file():
        raise _without_replay(f"The capsule {words[0]}")
    return Script(_options.workload({"module": chosen.get("module"), "words": words}))


def _without_replay(what: str) -> UsageError:
    """Said before anything is built: workers cannot replay single op calls yet."""
    return UsageError(
        f"{what} cannot be run yet: this version has no replay of single op calls.",
        hint="Name a script instead.",
    )
