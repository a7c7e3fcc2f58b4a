"""Which Pythons this machine has, and which of them an environment gets.

Found by looking at files, not by asking for a name: ``uv python find 3.8`` takes a folder
called ``3.8`` for an answer, and a version manager's shim is not an interpreter. Each one is
started once to learn its version; what was learned is kept until the file changes.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import Version

from forkpoint import process
from forkpoint.claims import scratch_folder
from forkpoint.environments.cache import write_atomically
from forkpoint.errors import EnvironmentFailed

OLDEST = (3, 8)
"""The oldest Python that the worker runs on."""

PREFERRED = (3, 11)
"""The one Python for which every torch release from 2.0 on has wheels."""

_FILE_NAME = re.compile(r"python(3(\.\d+)?)?")
_VERSION_FOLDERS = (
    "~/.pyenv/versions/*/bin",
    "~/.local/share/uv/python/*/bin",
    "~/.asdf/installs/python/*/bin",
    "~/.local/share/mise/installs/python/*/bin",
    "/opt/homebrew/opt/python@3.*/bin",
    "/usr/local/bin",
    "/usr/bin",
)
_PROBE = "import platform; print(platform.python_implementation(), platform.python_version())"
_PROBE_SECONDS = 20

# the first torch release with wheels for a Python, and the last one (None: still has them)
_TORCH_WHEELS = {
    (3, 8): ("2.0", "2.4.99"),
    (3, 9): ("2.0", "2.8.99"),
    (3, 10): ("2.0", None),
    (3, 11): ("2.0", None),
    (3, 12): ("2.2", None),
    (3, 13): ("2.5", None),
    (3, 14): ("2.9", None),
}


@dataclass(frozen=True, slots=True, order=True)
class Interpreter:
    """A CPython on this machine: its version, and the real path of its file."""

    version: tuple[int, int, int]
    path: Path

    @property
    def release(self) -> str:
        """The version as people write it: 3.11.7."""
        return ".".join(map(str, self.version))


def find_interpreters(memo: Path | None = None) -> tuple[Interpreter, ...]:
    """All CPythons from 3.8 on that PATH and the usual version managers lead to, sorted.

    ``memo`` is a file in which versions are remembered; without it, each interpreter is
    started. The running interpreter is always among them.
    """
    known = _recall(memo)
    learned: dict[str, list[int]] = {}
    found: set[Interpreter] = set()
    for path in _candidates():
        mark = _mark(path)
        version = known.get(mark) or _probe(path)
        if version is None:
            continue  # it may answer next time (a busy machine), so nothing is remembered
        learned[mark] = list(version)
        if tuple(version[:2]) >= OLDEST:
            major, minor, patch = version
            found.add(Interpreter((major, minor, patch), path))
    if memo is not None and learned != known:
        with suppress(OSError):  # only costs time on the next call
            write_atomically(memo, json.dumps(learned).encode())
    return tuple(sorted(found))


def choose_interpreter(
    python: str | None, requirements: Iterable[str], found: Sequence[Interpreter]
) -> Interpreter:
    """The interpreter for a requested version, or for None the one that suits.

    None means 3.11 where it is found (every torch release has wheels for it), else the
    running Python, else the newest that has wheels of the torch that is asked for. Raises
    `EnvironmentFailed` where there is none.
    """
    if python is not None:
        wanted = tuple(map(int, python.split(".")))
        matching = [one for one in found if one.version[: len(wanted)] == wanted]
        if matching:
            return _best(matching)
        raise _missing(f"Python {python} was not found on this machine", found)
    torch = _torch_pin(requirements)
    suitable = [one for one in found if _has_wheels(one, torch)]
    for series in (PREFERRED, sys.version_info[:2]):
        matching = [one for one in suitable if one.version[:2] == series]
        if matching:
            return _best(matching)
    if suitable:
        return _best(suitable)
    raise _missing(f"no Python with wheels of torch {torch} was found on this machine", found)


def interpreter_at(path: Path) -> Interpreter:
    """The interpreter in a file that a user names; raises `EnvironmentFailed` if it is none."""
    version = _probe(path) if path.is_file() else None
    if version is None or version[:2] < OLDEST:
        raise EnvironmentFailed(
            f"{path} is not a Python that can be used: it does not start, or is no CPython, "
            "or is older than 3.8",
            hint="Give the path of an interpreter, as in python=/usr/bin/python3.11.",
        )
    return Interpreter(version, path)


def _best(matching: Sequence[Interpreter]) -> Interpreter:
    """The newest patch release; of equals the running one, which is known to work."""
    running = Path(sys.executable).resolve()
    return max(matching, key=lambda one: (one.version, one.path == running, str(one.path)))


def _missing(problem: str, found: Sequence[Interpreter]) -> EnvironmentFailed:
    listing = ", ".join(f"{one.release} ({one.path})" for one in found)
    return EnvironmentFailed(
        f"{problem}. Found: {listing}",
        hint="Name one of those, as in python=3.11, give the path of another, as in "
        "python=/path/to/bin/python3.11, or install it, for example by 'uv python install 3.11'.",
    )


def _torch_pin(requirements: Iterable[str]) -> Version | None:
    for text in requirements:
        with suppress(InvalidRequirement):  # a path or a URL says nothing about torch
            requirement = Requirement(text)
            if requirement.name == "torch":
                for one in requirement.specifier:
                    if one.operator in ("==", "~=") and not one.version.endswith("*"):
                        return Version(one.version)
    return None


def _has_wheels(interpreter: Interpreter, torch: Version | None) -> bool:
    """Whether torch has wheels; a Python that we know nothing about is taken at its word."""
    first, last = _TORCH_WHEELS.get(interpreter.version[:2], ("0", None))
    return torch is None or (Version(first) <= torch and (last is None or torch <= Version(last)))


def _candidates() -> Iterator[Path]:
    seen: set[Path] = set()
    yield from _new((Path(sys.executable),), seen)
    folders = [Path(entry) for entry in os.environ.get("PATH", "").split(os.pathsep) if entry]
    for pattern in _VERSION_FOLDERS:
        expanded = Path(pattern).expanduser()
        folders += sorted(Path(expanded.anchor).glob(str(expanded.relative_to(expanded.anchor))))
    for folder in folders:
        with suppress(OSError):  # PATH may name what is not there, or not ours to read
            files = sorted(path for path in folder.iterdir() if _FILE_NAME.fullmatch(path.name))
            if not (folder.parent / "pyvenv.cfg").exists():
                yield from _new(files, seen)


def _new(paths: Iterable[Path], seen: set[Path]) -> Iterator[Path]:
    """Real paths not met before; no scripts: a shim may start anything, or nothing."""
    for path in paths:
        real = path.resolve()
        if real not in seen and real.is_file() and os.access(real, os.X_OK):
            seen.add(real)
            with real.open("rb") as stream:
                if stream.read(2) != b"#!":
                    yield real


def _probe(path: Path) -> tuple[int, int, int] | None:
    """The version of a CPython; (0, 0, 0) for what is none; None for what gave no answer."""
    with scratch_folder() as logs:
        try:
            done = process.run(
                [str(path), "-I", "-S", "-c", _PROBE], logs=logs, timeout=_PROBE_SECONDS
            )
        except OSError:
            return None
        match = re.match(r"CPython (\d+)\.(\d+)\.(\d+)", done.stdout.read_text(errors="replace"))
    if done.timed_out or done.returncode < 0:
        return None
    if done.returncode > 0 or match is None:
        return (0, 0, 0)
    return int(match[1]), int(match[2]), int(match[3])


def _mark(path: Path) -> str:
    status = path.stat()
    return f"{path}:{status.st_size}:{status.st_mtime_ns}"


def _recall(memo: Path | None) -> dict[str, list[int]]:
    """What was learned before. A damaged memo is as good as none: it is learned again."""
    if memo is None:
        return {}
    try:
        data = json.loads(memo.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    if not isinstance(data, dict):
        return {}
    return {mark: v for mark, v in data.items() if isinstance(v, list) and len(v) == 3}
