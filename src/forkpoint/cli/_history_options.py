"""What ``forkpoint history`` and ``forkpoint bisect`` share: options, and reading the subject."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from forkpoint import api
from forkpoint.bisect import (
    Script,
    Subject,
    capsule_subject,
    catalogue,
    catalogue_subject,
    read_axes,
)
from forkpoint.cli import _options
from forkpoint.environments import parse_size
from forkpoint.errors import UsageError

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
        metavar="NAME=A,B",
        help="Measure at several values of a torch setting (threads=1,2; device=cpu,cuda), a "
        "variable (MKL_CBWR=AVX2,COMPATIBLE) or Python (python=3.10,3.11). Repeatable.",
    ),
    click.option("--python", default=api.PYTHON, show_default=True, metavar="3.11|PATH"),
    click.option("--torch-backend", default="auto", show_default=True, metavar="auto|cpu|cu128|…"),
    click.option(
        "--max-cache",
        type=parse_size,
        metavar="SIZE",
        help="Keep environments and their packages below this, and remove old ones meanwhile.",
    ),
    click.option(
        "--diagnose",
        is_flag=True,
        help="Compare the script in both releases of a change, and search for the ops behind it.",
    ),
    _options.trust_option,
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
        diagnose=chosen["diagnose"],
    )


def read_subject(chosen: Mapping[str, Any]) -> Subject:
    """The catalogue, or the capsules or the script that the command line names."""
    words = chosen["words"]
    if chosen.get("catalogue"):
        return _catalogue(chosen)
    if chosen.get("ops"):
        raise UsageError("--op chooses among the catalogue's ops.", hint="Add --catalogue.")
    if not words and not chosen.get("module"):
        raise UsageError(
            "There is nothing to run.",
            hint="Name a script, a module with -m, or folders that hold capsules; 'forkpoint "
            "history --catalogue' needs none of these.",
        )
    if words and (Path(words[0]) / "capsule.json").is_file():
        return capsule_subject([Path(word) for word in words], trust=chosen["trust"])
    if words and Path(words[0]).is_dir():
        raise _no_capsule(Path(words[0]))
    return Script(_options.workload({"module": chosen.get("module"), "words": words}))


def _no_capsule(folder: Path) -> UsageError:
    below = sorted(str(found.parent) for found in folder.glob("**/capsule.json"))
    hint = "Name a script, or a folder that holds capsule.json."
    if below:
        hint = f"Below it are {', '.join(below[:6])}: name one of them."
    return UsageError(f"{folder} is a folder, and holds no capsule.", hint=hint)


def _is_of_torch(releases: str) -> bool:
    """Whether these are torch's releases; what cannot be read is said where it is read."""
    try:
        return canonicalize_name(Requirement(releases).name) == "torch"
    except InvalidRequirement:
        return True


def _catalogue(chosen: Mapping[str, Any]) -> Subject:
    if chosen["words"]:
        raise UsageError(
            "--catalogue brings its own calls and takes no script.",
            hint=f"Leave away either --catalogue or {chosen['words'][0]}.",
        )
    if not _is_of_torch(chosen["releases"]):
        raise UsageError(
            f"The catalogue is of torch's ops, and --releases asks for {chosen['releases']!r}.",
            hint="Write --releases 'torch>=2.0,<2.16', or name a script.",
        )
    calls = catalogue(inputs=chosen["inputs"], only=chosen["ops"])
    if not calls:
        raise UsageError(
            f"No op of the catalogue has {' or '.join(chosen['ops'])} in its name.",
            hint="Try --op norm, --op mm or --op softmax.",
        )
    return catalogue_subject(calls)
