"""ISSUE.md: what a maintainer wants to read, with the environments filled in."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence

from forkpoint.environments import Environment
from forkpoint.repro.model import Reproducer

_LONGEST = 500


def render_issue(
    made: Reproducer, sides: Sequence[Environment], fingerprint: Mapping[str, str]
) -> str:
    """The text, in Markdown; ``fingerprint`` is that of the recording."""
    lines = [f"# `{made.op}` gives other bits", ""]
    lines += _difference(made, sides)
    lines += ["## To see it", "", "`repro.py` needs torch and the files beside it:", "", "```sh"]
    lines += [_command(side) for side in sides] or ["python repro.py"]
    lines += ["```", "", *_seen(made), "## Environments", ""]
    for side in sides:
        lines += _block(side.name, side.describe())
    if sides:
        machine = {key: text for key, text in fingerprint.items() if _of_machine(key)}
        lines += _block("machine of the recording", machine)
    else:
        lines += _block("recorded in", fingerprint)
    return "\n".join(lines)


def shapes_text(shapes: Sequence[Sequence[int]]) -> str:
    """``32x30x384, 384, scalar``."""
    return ", ".join("x".join(map(str, shape)) or "scalar" for shape in shapes)


def _difference(made: Reproducer, sides: Sequence[Environment]) -> Iterator[str]:
    if not sides:
        return
    one, two = (side.name for side in sides)
    shapes, recorded = shapes_text(made.shapes), shapes_text(made.recorded)
    yield from (f"`{two}` and `{one}` differ on the same inputs, of shapes {shapes}.", "")
    if shapes != recorded:
        yield from (f"Reduced from {recorded}, by {made.tried:,} trials in both.", "")


def _seen(made: Reproducer) -> Iterator[str]:
    if made.verified is None:
        yield from ("`expected.bin` holds what was recorded. The script was not run here.", "")
        return
    said = "shows" if made.verified else "does **not** show"
    yield from (f"Run in both environments, the script {said} the difference:", "", "```text")
    for one in made.shown:
        yield f"[{one.environment}]"
        yield from map(_inert, one.output.rstrip().splitlines())
    yield from ("```", "")


def _block(name: str, entries: Mapping[str, str]) -> Iterator[str]:
    yield from (f"### {name}", "", "```text")
    lines = ((key, text) for key, text in sorted(entries.items()) if _matters(key))
    yield from (f"{_inert(key)}: {_inert(text)}" for key, text in lines)
    yield from ("```", "")


def _inert(text: str) -> str:
    """A text of a capsule as one line that ends no block of Markdown."""
    shown = "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )
    return shown.replace("`", "'")[:_LONGEST]


def _command(side: Environment) -> str:
    """How to run the script in an environment, as a line of shell."""
    variables = "".join(f"{key}={shlex.quote(value)} " for key, value in side.variables.items())
    word = f" {side.name}" if side.settings else ""
    return f"{variables}python repro.py{word}    # {side.name}"


def _of_machine(key: str) -> bool:
    return key.startswith(("cpu.", "gpu.", "os."))


def _matters(key: str) -> bool:
    packages = ("torch", "triton", "numpy", "nvidia", "mkl")
    return not key.startswith("package.") or key.removeprefix("package.").startswith(packages)
