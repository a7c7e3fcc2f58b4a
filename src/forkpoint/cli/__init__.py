"""The command line: ``forkpoint VERB``, one file per verb."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

import click

from forkpoint.cli._errors import guarded, open_streams
from forkpoint.cli.audit import audit
from forkpoint.cli.bisect import bisect
from forkpoint.cli.compare import compare
from forkpoint.cli.demo import demo
from forkpoint.cli.diff import diff
from forkpoint.cli.doctor import doctor
from forkpoint.cli.env import env
from forkpoint.cli.explain import explain
from forkpoint.cli.history import history
from forkpoint.cli.record import record
from forkpoint.cli.replay import replay
from forkpoint.cli.report import report
from forkpoint.cli.repro import repro

__all__ = ["main"]


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit status: 0 identical or within tolerance, 1 divergent, 2 error or inconclusive.",
)
@click.version_option(package_name="forkpoint", prog_name="forkpoint")
def forkpoint() -> None:
    """Find the first operator at which two runs of one model part ways.

    Start with 'forkpoint demo', or compare a script of your own:

    \b
      forkpoint compare --env old='torch==2.9.1' --env new='torch==2.10.0' script.py
    """


_VERBS = (
    *(demo, compare, record, diff, explain, audit, replay, repro),
    *(bisect, history, report, env, doctor),
)
for _verb in _VERBS:
    forkpoint.add_command(_verb)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with its exit status."""
    open_streams()
    signal.signal(signal.SIGTERM, _stop)
    words = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(guarded(lambda: forkpoint.main(words, prog_name="forkpoint", standalone_mode=False)))


def _stop(_number: int, _frame: FrameType | None) -> NoReturn:
    """Take SIGTERM as Ctrl-C is taken: children are ended, and what there is is kept."""
    raise KeyboardInterrupt
