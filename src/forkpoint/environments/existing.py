"""Environments that were there before: checked, never changed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

from forkpoint import process
from forkpoint.claims import scratch_folder
from forkpoint.environments.environment import Environment
from forkpoint.environments.interpreters import OLDEST
from forkpoint.environments.spec import EnvironmentSpec
from forkpoint.environments.uv import Uv, UvError
from forkpoint.errors import EnvironmentFailed

_CHECK = """
import json, sys
found = {"version": list(sys.version_info[:3]), "error": None}
try:
    import torch
except BaseException as error:
    found["error"] = type(error).__name__ + ": " + str(error)
print("\\n" + json.dumps(found))
"""
_CHECK_SECONDS = 180


def open_existing(
    spec: EnvironmentSpec, python: str, *, progress: Callable[[str], None] | None = None
) -> Environment:
    """Check that an existing interpreter starts and imports torch, and list its packages.

    ``python`` is the path of an interpreter, or of the folder of a virtual environment.
    Raises `EnvironmentFailed`, which says what the interpreter said.
    """
    path = _interpreter(spec, Path(python))
    if progress:
        progress(f"Checking {path}")
    with scratch_folder() as folder:
        _check(spec, path, folder)
        try:
            lock = Uv(folder).run("pip", "freeze", "--python", str(path))
        except UvError as error:
            raise EnvironmentFailed(
                f"environment {spec.name!r}: uv cannot list the packages of {path}: {error}",
                hint="Check that the environment is whole, or build one from requirements.",
            ) from None
    return Environment(
        name=spec.name,
        spec=spec,
        python=path,
        key=hashlib.sha256(f"{path}\n{lock}".encode()).hexdigest()[:24],
        lock=tuple(lock.split("\n")[:-1]),
        variables=dict(spec.variables),
        settings=dict(spec.settings),
    )


def _interpreter(spec: EnvironmentSpec, path: Path) -> Path:
    """The file to start; links stay, because a virtual environment is found through them."""
    candidates = [path / "bin" / "python", path / "bin" / "python3"] if path.is_dir() else [path]
    for candidate in candidates:
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return candidate
    raise EnvironmentFailed(
        f"environment {spec.name!r}: {path} has no interpreter: "
        f"{candidates[0]} is not a program that can be started",
        hint="Give the folder of a virtual environment (the one with bin/python in it), "
        "or the path of an interpreter.",
    )


def _check(spec: EnvironmentSpec, python: Path, logs: Path) -> None:
    where = f"environment {spec.name!r}: {python}"
    environment = {**os.environ, **spec.variables}
    argv = [str(python), "-I", "-c", _CHECK]
    try:
        done = process.run(argv, logs=logs, env=environment, timeout=_CHECK_SECONDS)
    except OSError as error:
        raise EnvironmentFailed(
            f"{where} does not start: {error.strerror}",
            hint="Its base interpreter may be gone, or made for another machine: recreate it.",
        ) from None
    try:
        found = json.loads(done.stdout.read_text(errors="replace").strip().rsplit("\n", 1)[-1])
        version, failure = tuple(found["version"]), found["error"]
    except (ValueError, KeyError, TypeError):
        ended = "did not answer in time" if done.timed_out else f"ended with {done.returncode}"
        raise EnvironmentFailed(
            f"{where} {ended}: {done.tail(5) or 'it said nothing'}",
            hint=f"Try it: {python} -I -c 'import torch'",
        ) from None
    if version < OLDEST:
        raise EnvironmentFailed(
            f"{where} is Python {'.'.join(map(str, version))}, and 3.8 is the oldest that works",
            hint="Use an environment with a newer Python.",
        )
    if failure:
        raise EnvironmentFailed(
            f"{where} cannot import torch: {failure}",
            hint="Install torch into it, or let forkpoint build an environment: torch==VERSION.",
        )
