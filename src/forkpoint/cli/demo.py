"""``forkpoint demo``: a real model, real text, two torch releases, and where they part ways."""

from __future__ import annotations

from pathlib import Path

import click

from forkpoint import api
from forkpoint.cli import _options
from forkpoint.cli._show import Output
from forkpoint.demo import ENVIRONMENTS, SCRIPT, WITH
from forkpoint.environments import parse_spec, with_requirements
from forkpoint.host import Workload

MAX_STORAGE = 250 * 10**6
"""Bytes of tensors to keep: every step's outputs and the forks, and quick to write."""

QUICK = ("origins", "replay", "sufficiency", "repeatability", "oracle")
"""What the demo tries; `forkpoint explain` does the rest on its results."""

NEXT = """
What to try next:
  forkpoint compare --env old='torch==2.9.1' --env new='torch==2.10.0' YOUR_SCRIPT.py
  forkpoint compare --env one='torch==2.10.0 threads=1' --env two='torch==2.10.0 threads=2' \\
      YOUR_SCRIPT.py
  forkpoint explain {folder} --only sweep
  forkpoint report {folder} --format markdown
"""


@click.command(
    epilog="""
    \b
    Example:
      forkpoint demo --html demo.html
    """
)
@click.option("--batches", default=6, show_default=True, help="How many batches to embed.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder for everything made.  [default: forkpoint-results/encode-TIME]",
)
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write the HTML report.  [default: report.html in that folder]",
)
@_options.format_option
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def demo(batches: int, out: Path | None, html: Path | None, form: str, quiet: bool) -> int:
    """Compare torch 2.9.1 with 2.10.0 on MiniLM over the Python documentation.

    The first time, two environments are built (some minutes and gigabytes); later runs take
    about a minute on two cores. The exit status is 1: the two releases do part ways.
    """
    specs = [
        with_requirements(parse_spec(f"{name}={tokens}"), WITH)
        for name, tokens in ENVIRONMENTS.items()
    ]
    output = Output(form, html, quiet)
    workload = Workload(script=SCRIPT, argv=("--batches", str(batches)))
    with output.watch() as watch:
        finished = api.run_comparison(
            workload,
            specs,
            options=api.Options(out=out, max_storage=MAX_STORAGE, experiments=QUICK, jobs=2),
            observer=watch,
            reproduce="forkpoint demo",
        )
    for failure in finished.failures:
        watch.failed(failure)
    output = Output(form, html or finished.folder / "report.html", quiet)
    status = output.show(finished.comparison)
    output.say(NEXT.format(folder=finished.folder).strip())
    return status
