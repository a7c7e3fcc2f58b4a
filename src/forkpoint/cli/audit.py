"""``forkpoint audit``: does a sample's result depend on what is around it?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console

from forkpoint import api
from forkpoint.audit import PROPERTIES, Audit
from forkpoint.cli import _options
from forkpoint.cli._errors import DIVERGENT, FINE, TROUBLE
from forkpoint.cli._show import Output, print_bytes
from forkpoint.errors import UsageError
from forkpoint.report import audit_to_json, audit_to_markdown, render_audit, write_audit_page

_STATUS = {True: FINE, False: DIVERGENT, None: TROUBLE}


@click.command(
    epilog="""
    \b
    Examples:
      forkpoint audit --env 'python=/path/to/venv' encode.py
      forkpoint audit --env 'torch==2.10.0' --with transformers==4.57.6 \\
          --promise run,position encode.py
      forkpoint audit --env 'torch==2.10.0' --only batch,padding --batch 1,2,4 --pad 64 encode.py
    """
)
@click.option("--env", "envs", multiple=True, metavar="[NAME=]'TOKENS'", help="The environment.")
@_options.build_options
@click.option(
    "--promise",
    multiple=True,
    metavar="PROPERTY,...",
    help="Properties that must hold: exit status 1 where one of them fails.",
)
@click.option(
    "--only",
    multiple=True,
    metavar="PROPERTY,...",
    help=f"Try these, and promised ones, only: {', '.join(PROPERTIES)}.",
)
@click.option("--batch", metavar="N,...", default="", help="Batch sizes to try.")
@click.option(
    "--pad",
    multiple=True,
    metavar="P,...|NAME=VALUE",
    help="Lengths to pad to; or what to pad the input NAME with. Repeatable.",
)
@click.option("--threads", metavar="N,...", default="1,2", show_default=True, help="Thread counts.")
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=8,
    show_default=True,
    help="Look at this many steps at most; without --steps, one of each input shape.",
)
@_options.run_options
@click.option("--out", type=click.Path(path_type=Path), help="Folder for everything made.")
@_options.output_options
@_options.workload_arguments
def audit(**chosen: Any) -> int:
    """Call the modules of SCRIPT again, otherwise, and see whether each sample's bits change.

    Fewer samples at once, samples at other places, more padding, other thread counts, another
    process. The script runs unmodified and gets its own results.
    """
    config = _options.config_here()
    environments = _options.environments(chosen["envs"], ("audited",), chosen, config)
    if len(environments) != 1:
        raise UsageError(
            f"audit takes one environment, not {len(environments)}.",
            hint="For example --env 'torch==2.10.0', or --env 'python=/path/to/venv'.",
        )
    output = Output.of(chosen)
    questions = read_questions(chosen)
    with output.watch() as watch:
        done = api.run_audit(
            _options.workload(chosen),
            environments[0],
            questions=questions,
            options=_options.options(chosen, config),
            observer=watch,
        )
    _write(done.audit, output)
    output.say(f"Everything is kept in {done.folder}")
    return status(done.audit)


def status(found: Audit) -> int:
    """1 where a promise fails; 2 where one could not be tried, or nothing could be tried at all."""
    if not any(one.tried for one in found.properties):
        return TROUBLE
    return _STATUS[found.kept]


def read_questions(chosen: dict[str, Any]) -> api.Questions:
    """What the options ask; raises `UsageError` for a word that is none."""
    lengths = [word for word in chosen["pad"] if "=" not in word]
    fills = [word.partition("=") for word in chosen["pad"] if "=" in word]
    only: Any = _words(chosen["only"]) or PROPERTIES
    promised: Any = _words(chosen["promise"])
    return api.Questions(
        properties=only,
        promised=promised,
        batch=_numbers("--batch", [chosen["batch"]]),
        padding=_numbers("--pad", lengths),
        threads=_numbers("--threads", [chosen["threads"]]),
        fill={name: _number("--pad", value) for name, _, value in fills},
        limit=chosen["limit"],
    )


def _words(many: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word.strip() for text in many for word in text.split(",") if word.strip())


def _numbers(option: str, many: list[str]) -> tuple[int, ...]:
    found = [_number(option, word) for word in _words(tuple(many))]
    if not all(number.is_integer() for number in found):
        raise UsageError(f"{option} takes whole numbers.", hint=f"For example {option} 1,2,4.")
    return tuple(dict.fromkeys(map(int, found)))


def _number(option: str, word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise UsageError(
            f"{option}: {word!r} is no number.", hint="Write 64, or 1,2,4, or NAME=0."
        ) from None


def _write(found: Audit, output: Output) -> None:
    if output.html:
        write_audit_page(found, output.html)
        output.say(f"The HTML report is in {output.html}")
    if output.form == "json":
        print_bytes(audit_to_json(found))
    elif output.form == "markdown":
        print_bytes(audit_to_markdown(found).encode())
    else:
        render_audit(found, Console())
