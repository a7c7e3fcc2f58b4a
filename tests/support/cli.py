"""Runs the real command line in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import forkpoint

SOURCES = Path(forkpoint.__file__).parents[1]


@dataclass(frozen=True)
class Ended:
    """How the command ended, and what it printed."""

    status: int
    out: str
    err: str


def forkpoint_cli(*words: object, cwd: Path, **variables: str) -> Ended:
    """Run ``forkpoint WORDS`` in a folder and wait for its end."""
    ended = subprocess.run(
        _argv(words), cwd=cwd, env=_environment(variables), capture_output=True, check=False
    )
    return Ended(ended.returncode, ended.stdout.decode(), ended.stderr.decode())


@contextmanager
def started_cli(*words: object, cwd: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start ``forkpoint WORDS``; it is gone at the end of the block, whatever happens."""
    with subprocess.Popen(
        _argv(words),
        cwd=cwd,
        env=_environment(variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def _argv(words: tuple[object, ...]) -> list[str]:
    return [sys.executable, "-m", "forkpoint", *map(str, words)]


def _environment(variables: dict[str, str]) -> dict[str, str]:
    # a fixed width, no colours, and forkpoint itself where the tests found it
    fixed = {"COLUMNS": "80", "TERM": "dumb", "PYTHONPATH": str(SOURCES)}
    return {**os.environ, **fixed, **variables}
