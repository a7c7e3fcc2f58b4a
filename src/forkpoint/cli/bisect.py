"""``forkpoint bisect``: which release changed a result."""

from __future__ import annotations

from typing import Any

import click
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from forkpoint import api
from forkpoint.bisect import Subject
from forkpoint.cli._history_options import range_options, read_range, read_subject
from forkpoint.cli._history_output import output_options, own_output, write_bisection, write_history
from forkpoint.cli._show import Output
from forkpoint.errors import UsageError


@click.command(
    epilog="""
    \b
    Examples:
      forkpoint bisect --good 'torch==2.0.1' --bad 'torch==2.15.0' encode.py
      forkpoint bisect --good 'torch==2.7.1' --bad 'torch==2.15.0' --all encode.py
    """
)
@click.option("--good", required=True, metavar="REQ", help="A release before the change.")
@click.option("--bad", required=True, metavar="REQ", help="A release after the change.")
@click.option("--package", metavar="NAME", help="The package, where versions stand alone.")
@click.option(
    "--all", "every", is_flag=True, help="Look at every release: also changes that were reverted."
)
@range_options
@output_options
@click.option("-m", "module", metavar="MODULE", help="Run a module, as python -m does.")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="SCRIPT|CAPSULE [-- ARGS...]")
def bisect(**chosen: Any) -> int:
    """Find the release of a package at which the bits of SCRIPT or CAPSULE change."""
    if chosen["html"] and not chosen["every"]:
        raise UsageError(
            "A page shows every release, and a bisection looks at a few.",
            hint="Add --all, or leave --html away.",
        )
    package, good, bad = _ends(chosen)
    subject = read_subject(chosen)
    with own_output(chosen):
        return _bisected(subject, package, good, bad, chosen)


def _bisected(subject: Subject, package: str, good: str, bad: str, chosen: dict[str, Any]) -> int:
    output = Output.of(chosen)
    if chosen["every"]:
        over = read_range(chosen, api.everything_between(package, good, bad))
        with output.watch() as watch:
            every = api.history(subject, over, observer=watch)
        return write_history(every, chosen)
    with output.watch() as watch:
        found = api.bisect(subject, good, bad, read_range(chosen, package), observer=watch)
    return write_bisection(found, chosen)


def _ends(chosen: dict[str, Any]) -> tuple[str, str, str]:
    """The package and both versions, out of ``torch==2.9.1`` or, with --package, ``2.9.1``."""
    package: str = canonicalize_name(chosen["package"] or "")
    versions = []
    for option in ("good", "bad"):
        text = chosen[option]
        if "=" not in text and package:
            versions.append(text)
            continue
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            requirement = None
        exact = (
            [one for one in requirement.specifier if one.operator == "=="] if requirement else []
        )
        if requirement is None or len(exact) != 1:
            raise UsageError(
                f"--{option} {text!r} does not name one release.",
                hint=f"Write --{option} 'torch==2.9.1'.",
            )
        name = canonicalize_name(requirement.name)
        if package and name != package:
            raise UsageError(
                f"--{option} {text!r} is about another package than {package}.",
                hint="Bisect one package; hold others with --with.",
            )
        package = name
        versions.append(exact[0].version)
    return package, versions[0], versions[1]
