"""What every page of HTML shares: one file that works offline and asks the network for nothing.

A page's policy allows the scripts it carries, by their hashes, and nothing else. Names reach
a page as escaped text or as JSON in a data block, never as script or markup.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from forkpoint.environments import write_atomically
from forkpoint.errors import FULL, StorageFull, UsageError
from forkpoint.report import words
from forkpoint.report.json import encoded_json

MAX_ROWS = 200

_POLICY = (
    "default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; "
    "img-src data: blob:; base-uri 'none'; form-action 'none'"
)


def write_page(text: str, path: str | os.PathLike[str]) -> Path:
    """Write a page to ``path`` and return it; an old file is replaced whole.

    Raises `StorageFull` where the disk is full, and `UsageError` where no file can be there.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, text.encode(errors="replace"))
    except OSError as error:
        kind = StorageFull if error.errno in FULL else UsageError
        raise kind(
            f"The report could not be written to {target}: {error.strerror or error}.",
            hint="Name another file with --html FILE, or free some space.",
        ) from error
    return target


def render_page(template: str, *, scripts: Mapping[str, str], **context: object) -> str:
    """The text of a page; ``scripts`` are ours, by the names that the template knows them by."""
    carried = {"theme": asset("theme.js"), **scripts}
    hashes = " ".join(f"'sha256-{_digest(text)}'" for text in carried.values())
    return (
        _environment()
        .get_template(template)
        .render(
            policy=_POLICY.format(scripts=hashes),
            style=Markup(asset("report.css")),  # noqa: S704 - our own file
            scripts={name: Markup(text) for name, text in carried.items()},  # noqa: S704 - ours
            **context,
        )
    )


def asset(*names: str) -> str:
    """The text of files beside the templates, one after the other."""
    folder = files("forkpoint.report") / "templates"
    return "".join((folder / name).read_text(encoding="utf-8") for name in names)


def data_block(value: object) -> Markup:
    """JSON that cannot end its script element: every ``<`` is written as an escape."""
    encoded = encoded_json(value).decode()
    return Markup(encoded.replace("<", "\\u003c"))  # noqa: S704 - no "<" is left in it


def code_spans(text: str) -> Markup:
    """Escaped text in which `` `names` `` stand as code."""
    parts = words.plain(text).split("`")
    if len(parts) % 2 == 0:  # a backtick without its partner is just one
        return escape(words.plain(text))
    spelled = [
        Markup("<code>{}</code>").format(part) if i % 2 else escape(part)
        for i, part in enumerate(parts)
    ]
    return Markup("").join(spelled)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("forkpoint.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        code_spans=code_spans,
        plain=words.plain,
        name=words.name,
        operator=words.operator,
        number=words.number,
        count=words.count,
        ulp=words.ulp,
        counted=words.counted,
        ranges=words.ranges,
        percent=words.percent,
        difference=words.difference,
        shape=words.shape,
        shapes=words.shapes,
    )
    environment.globals.update(
        module=words.module, contrast=words.contrast, verdicts=words.VERDICTS, max_rows=MAX_ROWS
    )
    # every expression of the template goes through `plain`, then through HTML escaping
    environment.finalize = _finalize
    return environment


def _finalize(value: object) -> object:
    return words.plain(value) if type(value) is str else value


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
