"""What a user asks an environment to be, in tokens: `EnvironmentSpec` and its parser.

A token is a requirement (``torch==2.1.2``), ``python=3.11`` or ``python=/path``, an
environment variable (``OMP_NUM_THREADS=1``, upper case) or a torch setting (``tf32=off``,
lower case; the names are those of `forkpoint_worker.settings`).
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from forkpoint.errors import UsageError
from forkpoint_worker.settings import CHOICES, MOST_THREADS

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_ASSIGNMENT = re.compile(r"(?P<key>[A-Za-z_][A-Za-z0-9_.-]*)=(?P<value>(?!=).*)", re.DOTALL)
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
_VERSION = re.compile(r"[0-9]{1,4}\.[0-9]{1,4}(\.[0-9]{1,4})?")
_NUMBER = re.compile(r"0{0,9}[0-9]{1,9}")
_SHOWN = 60  # letters of a wrong value in a message
_MOST_NAME = 80
_MOST_REQUIREMENT = 2000
_MOST_VARIABLE = 128 * 1024 - 2  # what the system takes in one variable
_COMMENT = re.compile(r"(^|\s)#|\s--?[A-Za-z]")
_ARCHIVES = (".whl", ".tar.gz", ".zip")
_EXAMPLE = "For example: --env old='torch==2.9.1 threads=1'"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentSpec:
    """One environment as asked for; nothing in it has been looked up or built.

    ``requirements`` are in pip's notation, with absolute paths; ``python`` is a version
    ("3.11"), the absolute path of an interpreter or of a virtual environment, or None for
    forkpoint's choice. Raises `UsageError` where a name or value cannot be.
    """

    name: str
    requirements: tuple[str, ...] = ()
    python: str | None = None
    variables: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or len(self.name) > _MOST_NAME:
            raise UsageError(
                f"{_short(self.name)!r} cannot be the name of an environment",
                hint=f"Use at most {_MOST_NAME} letters, digits, '.', '-' and '_', and start with "
                "a letter or digit.",
            )
        for key, value in self.variables.items():
            _check_variable(key, value)
        for key, value in self.settings.items():
            _check_setting(key, value)
        for requirement in self.requirements:
            _check_line(requirement)

    @property
    def text(self) -> str:
        """The tokens of this spec in one canonical line; `parse_spec` reads it back."""
        tokens = list(self.requirements)
        if self.python is not None:
            tokens.append(f"python={self.python}")
        tokens += (f"{key}={value}" for key, value in sorted(self.variables.items()))
        tokens += (f"{key}={value}" for key, value in sorted(self.settings.items()))
        return shlex.join(tokens)

    @property
    def venv(self) -> Path | None:
        """The virtual environment that ``python`` names or lies in, where that is one."""
        if self.python is None or _VERSION.fullmatch(self.python):
            return None
        path = Path(self.python)
        for folder in (path, path.parent.parent):
            if (folder / "pyvenv.cfg").is_file():
                return folder
        return None


def parse_spec(text: str, *, base: Path | None = None) -> EnvironmentSpec:
    """Read ``NAME=TOKEN TOKEN ...``, split as a POSIX shell splits words.

    Relative paths are taken from ``base`` (the current folder where None). Raises
    `UsageError`, which names the token, says what is wrong and suggests what was meant.
    """
    name, separator, tokens = text.partition("=")
    if not separator or tokens.startswith("="):
        raise UsageError(f"--env {text!r} gives no name to the environment", hint=_EXAMPLE)
    return parse_tokens(name.strip(), tokens, base=base)


def parse_tokens(name: str, text: str, *, base: Path | None = None) -> EnvironmentSpec:
    """Read the tokens of the environment called ``name``; see `parse_spec`."""
    try:
        tokens = shlex.split(text)
    except ValueError as error:
        raise UsageError(
            f"environment {name!r}: {text!r} cannot be split into words: {error}",
            hint="Close every quote; inside of --env NAME='...' use double quotes.",
        ) from None
    requirements: list[str] = []
    python: str | None = None
    variables: dict[str, str] = {}
    settings: dict[str, str] = {}
    for token in tokens:
        match = _ASSIGNMENT.fullmatch(token)
        try:
            if match is None:
                requirements.append(parse_requirement(token, base=base))
                continue
            key, value = match["key"], match["value"]
            if key == "python":
                python = _once(python, parse_python(value, base=base), token)
            elif _VARIABLE.fullmatch(key):
                variables[key] = _once(variables.get(key), value, token)
            else:
                settings[key] = _once(settings.get(key), parse_setting(key, value), token)
        except UsageError as error:
            raise UsageError(f"environment {name!r}: {error.message}", hint=error.hint) from None
    return checked(
        EnvironmentSpec(
            name=name,
            requirements=tuple(dict.fromkeys(requirements)),
            python=python,
            variables=variables,
            settings=settings,
        )
    )


def with_requirements(
    spec: EnvironmentSpec, extra: Iterable[str], *, base: Path | None = None
) -> EnvironmentSpec:
    """The spec with more requirements (``--with``); those it has already stay once."""
    added = (parse_requirement(text, base=base) for text in extra)
    return checked(replace(spec, requirements=tuple(dict.fromkeys((*spec.requirements, *added)))))


def checked(spec: EnvironmentSpec) -> EnvironmentSpec:
    """The same spec; raises `UsageError` where it would install into an existing environment."""
    if spec.requirements and spec.venv is not None:
        raise UsageError(
            f"environment {spec.name!r}: {spec.python} is an existing virtual environment, "
            f"and forkpoint installs nothing into it ({', '.join(spec.requirements)})",
            hint="Leave the requirements (and --with) away, or name a version instead, "
            "as in python=3.11, and list all that the script needs.",
        )
    return spec


def parse_requirement(text: str, *, base: Path | None = None) -> str:
    """A requirement in canonical notation; a path becomes absolute and must exist."""
    _check_line(text)
    if "://" in text and " @ " not in text and ";" not in text:
        return text
    if text.startswith((".", "/", "~")) or text.endswith(_ARCHIVES):
        path = _absolute(text, base)
        if not path.exists():
            raise UsageError(
                f"requirement {text!r} is a path, and there is nothing at {path}",
                hint="Give the path of a wheel, of a source archive or of a project folder.",
            )
        return str(path)
    try:
        return str(Requirement(text))
    except InvalidRequirement as error:
        reason = str(error).splitlines()[0]
        raise UsageError(
            f"token {text!r} is not a requirement: {reason}",
            hint=f"Tokens are requirements, python=..., NAME=value and settings. {_EXAMPLE}",
        ) from None


def _check_line(requirement: str) -> None:
    """Raise `UsageError` for what is not one requirement: uv reads them as lines of a file."""
    lines = f"{requirement}x".splitlines()
    if len(lines) != 1 or not all(one.isprintable() or one == "\t" for one in requirement):
        raise UsageError(
            f"requirement {_short(requirement)!r} is not one line of plain text",
            hint="Write each requirement on its own, without line breaks and control characters.",
        )
    if requirement.lstrip().startswith("-"):
        raise UsageError(
            f"requirement {_short(requirement)!r} is an option of pip",
            hint="Options are not requirements. Name an index with UV_DEFAULT_INDEX; write the "
            "lines of a file one by one.",
        )
    if _COMMENT.search(requirement) or requirement.rstrip().endswith("\\"):
        raise UsageError(
            f"requirement {_short(requirement)!r} holds a comment, an option or a line to go on",
            hint="Write the requirement alone: name, version, extras and marker.",
        )
    if not requirement.strip() or len(requirement) > _MOST_REQUIREMENT:
        raise UsageError(
            f"requirement {_short(requirement)!r} is empty, or longer than {_MOST_REQUIREMENT:,}",
            hint="Write name==version.",
        )


def parse_python(value: str, *, base: Path | None = None) -> str:
    """A version ("3.11") as it is, or a path made absolute, which must exist."""
    if _VERSION.fullmatch(value):
        return value
    if "/" not in value and not value.startswith(("~", ".")):
        raise UsageError(
            f"'python={value}' is neither a version nor a path",
            hint="Write python=3.11, python=/path/to/venv or python=/path/to/bin/python3.11.",
        )
    path = _absolute(value, base)
    if not path.exists():
        raise UsageError(
            f"'python={value}': there is nothing at {path}",
            hint="Give the path of a virtual environment or of an interpreter.",
        )
    return str(path)


def parse_setting(key: str, value: str) -> str:
    """The canonical value of a torch setting (``threads=01`` is ``1``)."""
    if key not in CHOICES:
        raise UsageError(f"unknown setting {key!r} in '{key}={value}'", hint=_suggest(key, value))
    if CHOICES[key] is None and _NUMBER.fullmatch(value):
        value = str(int(value))  # 01 is 1
    _check_setting(key, value)
    return value


def _check_setting(key: str, value: str) -> None:
    if key not in CHOICES:
        raise UsageError(f"unknown setting {key!r} in '{key}={value}'", hint=_suggest(key, value))
    choices = CHOICES[key]
    if choices is None and not re.fullmatch("[1-9][0-9]{0,9}", value):
        raise UsageError(
            f"'{key}={_short(value)}': {_short(value)!r} is not a positive whole number",
            hint=f"Write {key}=1.",
        )
    if choices is None and int(value) > MOST_THREADS:
        raise UsageError(
            f"'{key}={value}' is out of range: 1 to {MOST_THREADS} are possible",
            hint=f"Write {key}=1, or the number of cores that the machine has.",
        )
    if choices is not None and value not in choices:
        near = get_close_matches(value, choices, n=1)
        raise UsageError(
            f"'{key}={value}': {value!r} is not a value of {key}",
            hint=(f"Did you mean {key}={near[0]}? " if near else "")
            + f"The values are {', '.join(choices)}.",
        )


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _check_variable(key: str, value: str) -> None:
    if not _VARIABLE.fullmatch(key):
        raise UsageError(
            f"{key!r} cannot be the name of an environment variable here",
            hint="Variables are upper case: letters, digits and '_'.",
        )
    if value.startswith("=") or "\0" in value:
        raise UsageError(
            f"variable {key}: its value cannot start with '=' or contain a NUL character",
            hint=f"A token like '{key}==1' is read as a requirement.",
        )
    if len(key) + len(value.encode(errors="surrogateescape")) > _MOST_VARIABLE:
        raise UsageError(
            f"variable {key}: its value has more than {_MOST_VARIABLE:,} bytes",
            hint="No program can be started with a longer one: put it into a file.",
        )


def _suggest(key: str, value: str) -> str:
    near = get_close_matches(key, CHOICES, n=1, cutoff=0.6)
    if near:
        return f"Did you mean {near[0]}={value}?"
    if value[:1].isdigit():
        return f"A requirement takes two equals signs: {key}=={value}"
    if value[:1] in ("<", ">"):
        return f"The comparison is spelled the other way around: {key}{value[0]}={value[1:]}"
    return f"The settings are {', '.join(CHOICES)}; variables are upper case."


def _once(old: str | None, new: str, token: str) -> str:
    if old is not None and old != new:
        raise UsageError(
            f"{token!r} contradicts an earlier token, which gives {old!r}",
            hint="Keep one of them.",
        )
    return new


def _absolute(text: str, base: Path | None) -> Path:
    """The absolute path that a token means; whether something is there, too, can be asked."""
    try:
        # not resolve(): a virtual environment is known by the path of its links, not their target
        path = Path(os.path.normpath((base or Path.cwd()) / Path(text).expanduser()))
        path.exists()
    except (OSError, RuntimeError, ValueError) as error:  # too long, closed to us, ~nobody, NUL
        raise UsageError(
            f"{text!r} cannot be used as a path: {error}", hint="Write the path out in full."
        ) from None
    return path
