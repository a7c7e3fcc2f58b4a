"""Project settings: ``forkpoint.toml``, or ``[tool.forkpoint]`` in ``pyproject.toml``."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from forkpoint.environments.spec import (
    EnvironmentSpec,
    checked,
    parse_python,
    parse_requirement,
    parse_setting,
    parse_tokens,
)
from forkpoint.errors import UsageError
from forkpoint.untrusted import read_file

_LARGEST = 1 << 20
_MOST_PARTS = 100
_PART = rb"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+"""
_LONG_KEY = re.compile(rb"(?<![\w-])(?:%b\.[ \t]*+){%d}" % (_PART, _MOST_PARTS))
"""Reading one takes time by the square of its length, and a string is none with so many words."""

_SIZE = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,20})?)\s*([KMGT]?)(i?)B?", re.IGNORECASE)
_MOST_BYTES = 8 * 10**18
MOST_SECONDS = 1e9
_UNITS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What a project's file says; None or empty where it says nothing.

    ``with_requirements`` is its ``with``; ``max_storage`` and ``max_cache`` are bytes,
    ``timeout`` is seconds, ``watch`` are functions' names; ``path`` is the file, or None where
    none was found.
    """

    path: Path | None = None
    environments: dict[str, EnvironmentSpec] = field(default_factory=dict)
    with_requirements: tuple[str, ...] = ()
    tolerance: str | None = None
    max_storage: int | None = None
    max_cache: int | None = None
    timeout: float | None = None
    watch: tuple[str, ...] = ()


class _Table(msgspec.Struct, forbid_unknown_fields=True, rename="kebab"):
    """The top level of the file."""

    environments: dict[str, Any] = {}
    with_: list[str] = msgspec.field(name="with", default_factory=list)
    tolerance: str | None = None
    max_storage: int | str | None = None
    max_cache: int | str | None = None
    timeout: float | None = None
    watch: list[str] = []


class _EnvironmentTable(msgspec.Struct, forbid_unknown_fields=True, rename="kebab"):
    """``[environments.NAME]``."""

    requirements: list[str] = []
    python: str | None = None
    variables: dict[str, str] = {}
    settings: dict[str, str | int | bool] = {}


def load_config(start: Path) -> Config:
    """Read the nearest project file at or above the folder ``start``.

    In one folder ``forkpoint.toml`` goes before ``pyproject.toml``, and the latter counts
    only with a ``[tool.forkpoint]`` table. Relative paths in a file are relative to its
    folder. Raises `UsageError`, which names the file and the key.
    """
    folder = start.absolute()
    for candidate in (folder, *folder.parents):
        found = _own_file(candidate / "forkpoint.toml") or _pyproject(candidate / "pyproject.toml")
        if found:
            return found
    return Config()


def parse_size(value: int | str) -> int:
    """Bytes of ``"20GB"`` (decimal), ``"512 MiB"`` (binary) or a plain number."""
    if isinstance(value, str):
        match = _SIZE.fullmatch(value.strip())
        if not match:
            raise UsageError(
                f"{value[:60]!r} is not a size",
                hint="Write a number and a unit, as in 20GB or 512MiB.",
            )
        number, unit, binary = match.groups()
        value = int(float(number) * (1024 if binary else 1000) ** _UNITS[unit.upper()])
    if not 0 <= value <= _MOST_BYTES:
        raise UsageError(
            f"{str(value)[:40] if abs(value) < 1 << 64 else 'that'} is not a size",
            hint="A size is from 0 bytes to 8000 PB.",
        )
    return value


def _own_file(path: Path) -> Config | None:
    return _config(path, _read(path)) if _is_there(path) else None


def _pyproject(path: Path) -> Config | None:
    if not _is_there(path):
        return None
    tools = _read(path).get("tool", {})
    table = tools.get("forkpoint") if isinstance(tools, dict) else None
    return None if table is None else _config(path, table)


def _is_there(path: Path) -> bool:
    """Whether there is something to read, or to say no to; a folder of that name is neither."""
    return path.exists() and not path.is_dir()


def _read(path: Path) -> dict[str, Any]:
    data = read_file(path, most=_LARGEST, named=True)
    if _LONG_KEY.search(data):
        raise UsageError(
            f"{path} has a key of more than {_MOST_PARTS} parts with dots between them",
            hint="Write tables in place of it.",
        )
    try:
        return tomllib.loads(data.decode().replace("\r\n", "\n"))
    except RecursionError:
        raise UsageError(
            f"{path} is nested too deeply: lists or tables in lists without an end",
            hint="Nothing that forkpoint reads there is more than three levels deep.",
        ) from None
    except ValueError as error:  # also a number of more digits than Python reads
        raise UsageError(
            f"{path} is not valid TOML: {str(error)[:500]}", hint="Correct that line."
        ) from None


def _config(path: Path, data: object) -> Config:
    table = _convert(data, _Table, str(path))
    try:
        return Config(
            path=path,
            environments={
                name: _environment(path, name, value) for name, value in table.environments.items()
            },
            with_requirements=tuple(parse_requirement(r, base=path.parent) for r in table.with_),
            tolerance=table.tolerance,
            max_storage=_size("max-storage", table.max_storage),
            max_cache=_size("max-cache", table.max_cache),
            timeout=_timeout(table.timeout),
            watch=tuple(table.watch),
        )
    except UsageError as error:
        raise UsageError(f"{path}: {error.message}", hint=error.hint) from None


def _environment(path: Path, name: str, value: object) -> EnvironmentSpec:
    if isinstance(value, str):
        return parse_tokens(name, value, base=path.parent)
    table = _convert(value, _EnvironmentTable, f"[environments.{name}]")
    try:
        settings = {key: parse_setting(key, _word(v)) for key, v in table.settings.items()}
        python = table.python and parse_python(table.python, base=path.parent)
        requirements = [parse_requirement(text, base=path.parent) for text in table.requirements]
    except UsageError as error:
        raise UsageError(f"[environments.{name}]: {error.message}", hint=error.hint) from None
    return checked(
        EnvironmentSpec(
            name=name,
            requirements=tuple(dict.fromkeys(requirements)),
            python=python,
            variables=table.variables,
            settings=settings,
        )
    )


def _timeout(value: float | None) -> float | None:
    if value is not None and not 0 < value < MOST_SECONDS:
        raise UsageError(
            f"key 'timeout': {value} seconds are no time limit",
            hint=f"Write a number above 0 and below {MOST_SECONDS:.0e}, or nothing.",
        )
    return value


def _size(key: str, value: int | str | None) -> int | None:
    try:
        return None if value is None else parse_size(value)
    except UsageError as error:
        raise UsageError(f"key {key!r}: {error.message}", hint=error.hint) from None


def _word(value: str | int | bool) -> str:
    """TOML has booleans and numbers where a token has words."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


def _convert(data: object, kind: type[_T], where: str) -> _T:
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        known = [one.encode_name for one in msgspec.structs.fields(kind)]  # type: ignore[arg-type]
        raise _explained(str(error), where, known) from None


def _explained(text: str, where: str, known: list[str]) -> UsageError:
    """msgspec's error in the words of the file: which key, and what was meant."""
    unknown = re.search(r"unknown field `([^`]*)`", text)
    if unknown:
        near = get_close_matches(unknown[1], known, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"The keys are {', '.join(known)}."
        return UsageError(f"{where}: unknown key {unknown[1]!r}", hint=hint)
    place = re.search(r" - at `\$\.?([^`]*)`", text)
    key = f" key {place[1]!r}:" if place and place[1] else ""
    problem = text.partition(" - at ")[0].replace("`", "")
    problem = problem.replace("object", "table").replace("array", "list")
    return UsageError(f"{where}:{key} {problem}", hint="Correct the value.")
