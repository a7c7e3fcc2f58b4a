"""Running a plain script in an environment, as a user would: no worker, no recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from forkpoint.environments import Environment
from forkpoint.errors import EnvironmentFailed
from forkpoint.host._run import variables
from forkpoint.process import run

_MOST = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptRun:
    """How a plain run ended: its exit status, and the end of what it printed."""

    status: int
    output: str


def run_script(
    environment: Environment,
    words: Sequence[str | Path],
    *,
    logs: Path,
    timeout: float | None = None,
) -> ScriptRun:
    """Run ``python WORDS...`` in an environment and wait for its end.

    Raises `EnvironmentFailed` where the interpreter cannot be started.
    """
    command = [str(environment.python), *(str(word) for word in words)]
    try:
        done = run(command, logs=logs, env=variables(environment.variables), timeout=timeout)
    except OSError as error:
        raise EnvironmentFailed(
            f"{environment.name}: the interpreter {environment.python} cannot be started: {error}.",
            hint="Name another one with python=/path/to/python.",
        ) from error
    text = b"".join(path.read_bytes()[-_MOST:] for path in (done.stdout, done.stderr))
    return ScriptRun(status=done.returncode, output=text.decode(errors="replace"))
