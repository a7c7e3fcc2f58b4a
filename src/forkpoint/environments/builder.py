"""From a spec to an environment: found in the cache, or built there by uv."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sysconfig
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import Version

from forkpoint.environments import disk
from forkpoint.environments.cache import Built, EnvironmentCache
from forkpoint.environments.environment import Environment
from forkpoint.environments.existing import open_existing
from forkpoint.environments.interpreters import (
    Interpreter,
    choose_interpreter,
    find_interpreters,
    interpreter_at,
)
from forkpoint.environments.spec import EnvironmentSpec, checked
from forkpoint.environments.torch_backend import (
    CPU,
    IMPATIENT,
    INDEX,
    Reachability,
    check_backend,
)
from forkpoint.environments.uv import Uv, UvError, index_settings
from forkpoint.errors import FULL, EnvironmentFailed, StorageFull, UsageError

Progress = Callable[[str], None]

_FORMAT = 1
_NO_ROOM = re.compile(r"os error (28|122)\b|No space left|Disk quota exceeded")
_NUMPY_2_SINCE = Version("2.3")
"""The first torch release that works with numpy 2."""


def build(
    spec: EnvironmentSpec,
    *,
    cache: EnvironmentCache,
    torch_backend: str = "auto",
    progress: Progress | None = None,
) -> Environment:
    """The environment of a spec; the cache keeps it in use until it is closed.

    A spec without requirements, whose ``python`` is a path, is an existing environment: it
    is checked and left as it is. Otherwise what the cache has is reused without starting
    anything, and what it has not is built. ``torch_backend`` is auto, cpu, cuXXX, or index.
    ``progress`` gets short lines while something is built. Raises `UsageError` for a spec
    that names nothing, `StorageFull` where the disk is full, and `EnvironmentFailed` with uv's
    own reason where a build fails otherwise.
    """
    say = progress or _silent
    checked(spec)
    by_path = spec.python is not None and os.sep in spec.python
    if spec.python is not None and by_path and not spec.requirements:
        return open_existing(spec, spec.python, progress=progress)
    if not spec.requirements:
        raise UsageError(
            f"environment {spec.name!r} names nothing to install",
            hint=f"Add a requirement, as in --env {spec.name}='torch==2.9.1', "
            "or name an existing environment: python=/path/to/venv.",
        )
    interpreter = _interpreter(spec, cache)
    reachability = Reachability(cache.root)
    wanted = check_backend(torch_backend)
    candidates = reachability.candidates(wanted)
    for number, backend in enumerate(candidates, start=1):
        last = number == len(candidates)
        recipe = _Recipe(spec=spec, interpreter=interpreter, backend=backend, patient=last)
        try:
            built = _obtain(recipe, cache, say)
        except UvError as error:
            reachability.learn(str(error))
            if last or _NO_ROOM.search(str(error)):
                raise _failure(spec, str(error)) from None
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise _failure(spec, f"No space left at {error.filename}") from error
        else:
            note = reachability.fallback_note(wanted, backend)
            return _environment(recipe, cache, built, note)
    raise AssertionError("there is always a backend to try")


def is_built(
    spec: EnvironmentSpec, *, cache: EnvironmentCache, torch_backend: str = "auto"
) -> bool:
    """Whether `build` would find this environment in the cache, and build nothing."""
    try:
        interpreter = _interpreter(spec, cache)
    except EnvironmentFailed:
        return False
    wanted = check_backend(torch_backend)
    recipes = (
        _Recipe(spec=spec, interpreter=interpreter, backend=backend, patient=True)
        for backend in Reachability(cache.root).candidates(wanted)
    )
    return any(cache.built(recipe.key) is not None for recipe in recipes)


def clean_packages(cache: EnvironmentCache) -> None:
    """Empty the uv cache that belongs to this cache alone; environments keep their files.

    Raises `EnvironmentFailed` where uv cannot.
    """
    if cache.packages is None or not cache.packages.exists():
        return
    try:
        Uv(cache.root, packages=cache.packages).run("cache", "clean")
    except UvError as error:
        raise EnvironmentFailed(
            f"uv could not empty its cache {cache.packages}: {error}",
            hint="Is another uv at work there? Try again when it has ended.",
        ) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recipe:
    """All that decides what ends up in an environment.

    A recipe that is not ``patient`` gives up on the network soon: another one comes next.
    """

    spec: EnvironmentSpec
    interpreter: Interpreter
    backend: str
    patient: bool

    @property
    def key(self) -> str:
        """A hash over the recipe: variables and settings act at run time and are not in it."""
        content = {
            "format": _FORMAT,
            "requirements": sorted(map(_identified, self.spec.requirements)),
            "python": [str(self.interpreter.path), self.interpreter.release],
            "platform": sysconfig.get_platform(),
            "backend": self.backend,
            "index": index_settings(os.environ),
        }
        text = json.dumps(content, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:24]

    @property
    def backend_arguments(self) -> tuple[str, ...]:
        """What uv is told about torch's builds."""
        return () if self.backend == INDEX else ("--torch-backend", self.backend)


def _obtain(recipe: _Recipe, cache: EnvironmentCache, say: Progress) -> Built:
    """Reuse or build, and begin to use."""
    name = recipe.spec.name

    def waiting() -> None:
        say(f"Waiting for another process that builds {name}")

    with cache.locked(recipe.key, waiting):
        built = cache.built(recipe.key)
        if built is None:
            for gone in cache.make_room(keep=recipe.key):
                say(f"Removed the environment {', '.join(gone.names) or gone.key} to make room")
            built = _make(recipe, cache, say)
        elif name not in built.names:
            built = cache.rename(built, name)
        cache.hold(recipe.key)
    return built


def _make(recipe: _Recipe, cache: EnvironmentCache, say: Progress) -> Built:
    folder = cache.clear(recipe.key)
    token = uuid.uuid4().hex[:12]
    uv = Uv(folder, say, cache.packages)
    try:
        notes = _resolve(recipe, uv)
        say(f"Building {recipe.spec.name} with Python {recipe.interpreter.release}")
        uv.run("venv", "--no-project", "--python", str(recipe.interpreter.path), token)
        python = f"{token}/bin/python"
        uv.run("pip", "sync", "--python", python, *recipe.backend_arguments, "lock.txt")
        lock = uv.run("pip", "freeze", "--python", python)
    except UvError:
        disk.discard(folder, cache.root / "trash")
        raise
    built = Built(
        key=recipe.key,
        names=(recipe.spec.name,),
        spec=EnvironmentSpec(name=recipe.spec.name, requirements=recipe.spec.requirements).text,
        token=token,
        interpreter=str(recipe.interpreter.path),
        torch_backend=recipe.backend,
        lock=tuple(lock.splitlines()),
        notes=notes,
    )
    cache.finish(built)
    return built


def _resolve(recipe: _Recipe, uv: Uv) -> tuple[str, ...]:
    """Write ``lock.txt``; returns what a user should know about it."""
    requirements = recipe.spec.requirements
    _compile(recipe, uv, requirements)
    torch, numpy = (_locked(uv.folder / "lock.txt", name) for name in ("torch", "numpy"))
    if torch is None or numpy is None or torch >= _NUMPY_2_SINCE or numpy.major < 2:
        return ()
    if any(_name(text) == "numpy" for text in requirements):
        return ()  # asked for by name: what happens with it may be the question
    _compile(recipe, uv, (*requirements, "numpy<2"))
    return (f"torch {torch} does not work with numpy 2, so numpy<2 was installed.",)


def _compile(recipe: _Recipe, uv: Uv, requirements: Sequence[str]) -> None:
    source, lock = uv.folder / "requirements.in", uv.folder / "lock.txt"
    source.write_text("".join(f"{line}\n" for line in requirements), encoding="utf-8")
    lock.unlink(missing_ok=True)  # uv would prefer the versions in it
    uv.run(
        *("pip", "compile", "--no-header", "--no-annotate", "--quiet"),
        *("--python", str(recipe.interpreter.path), *recipe.backend_arguments),
        *("--output-file", lock.name, source.name),
        more_env=None if recipe.patient else IMPATIENT,
    )


def _locked(lock: Path, name: str) -> Version | None:
    for line in lock.read_text(encoding="utf-8").splitlines():
        package, _, version = line.partition("==")
        if package == name:
            return Version(version.split()[0])
    return None


def _name(requirement: str) -> str | None:
    with suppress(InvalidRequirement):  # a path or a URL
        return Requirement(requirement).name
    return None


def _identified(requirement: str) -> str:
    """A local path together with the state of its files, so that an edit means a new build."""
    path = Path(requirement)
    if not path.is_absolute():
        return requirement
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    marks = [requirement]
    for file in files:
        hidden = any(part.startswith(".") or part == "__pycache__" for part in file.parts[-2:])
        if file.is_file() and not hidden:
            status = file.stat()
            marks.append(f"{file}:{status.st_size}:{status.st_mtime_ns}")
    return "\n".join(marks)


def _interpreter(spec: EnvironmentSpec, cache: EnvironmentCache) -> Interpreter:
    if spec.python is not None and os.sep in spec.python:
        return interpreter_at(Path(spec.python))
    found = find_interpreters(cache.root / "interpreters.json")
    try:
        return choose_interpreter(spec.python, spec.requirements, found)
    except EnvironmentFailed as error:
        message = f"environment {spec.name!r}: {error.message}"
        raise EnvironmentFailed(message, hint=error.hint) from None


def _environment(
    recipe: _Recipe, cache: EnvironmentCache, built: Built, fallback: str | None
) -> Environment:
    spec = recipe.spec
    has_torch = any(line.startswith(("torch==", "torch @")) for line in built.lock)
    notes = built.notes if fallback is None or not has_torch else (*built.notes, fallback)
    return Environment(
        name=spec.name,
        spec=spec,
        python=cache.python(built),
        key=built.key,
        lock=built.lock,
        release=recipe.interpreter.release,
        variables=dict(spec.variables),
        settings=dict(spec.settings),
        notes=notes,
    )


def _failure(spec: EnvironmentSpec, reason: str) -> EnvironmentFailed | StorageFull:
    if _NO_ROOM.search(reason):
        return StorageFull(
            f"environment {spec.name!r} ({spec.text}) could not be built: the disk is full "
            f"({reason})",
            hint="Free some space: 'forkpoint env prune' removes built environments.",
        )
    hint = "Correct the requirements, or give another Python with python=3.11."
    if "ailed to fetch" in reason:
        hint = (
            "Check the network. uv does not read pip's configuration file: set UV_DEFAULT_INDEX "
            "(or PIP_INDEX_URL) to the index to use."
        )
        if f"whl/{CPU}" in reason or "pytorch.org" in reason:
            hint += " --torch-backend index keeps to that index for torch, too."
    return EnvironmentFailed(
        f"environment {spec.name!r} ({spec.text}) could not be built: {reason}", hint=hint
    )


def _silent(_: str) -> None:
    """Take progress that nobody wants to see."""
