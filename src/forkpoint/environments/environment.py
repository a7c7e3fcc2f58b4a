"""An environment that is ready to run something."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from forkpoint.environments.spec import EnvironmentSpec


def packages_of(lock: Iterable[str]) -> dict[str, str]:
    """Version, or URL, of each package by name, from the lines of a lock."""
    found: dict[str, str] = {}
    for line in lock:
        name, separator, rest = line.partition("==")
        if not separator:
            name, _, rest = line.partition(" @ ")
        found[name] = rest
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """A spec, and the interpreter that fulfils it.

    ``python`` is the absolute path of the interpreter to start; ``lock`` has a line
    ``name==version`` (or ``name @ url``) for each package installed, sorted; ``key`` names
    the content: equal keys have equal interpreters and packages. ``release`` is the Python
    version (3.11.7), empty for an environment that was there. ``notes`` are whole sentences
    that a user should see once.
    """

    name: str
    spec: EnvironmentSpec
    python: Path
    key: str
    lock: tuple[str, ...]
    release: str = ""
    variables: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def packages(self) -> dict[str, str]:
        """Version, or URL, of each package by name."""
        return packages_of(self.lock)

    def altered(
        self,
        *,
        variables: Mapping[str, str] | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> Environment:
        """The same interpreter with more variables and torch settings."""
        return replace(
            self,
            variables={**self.variables, **(variables or {})},
            settings={**self.settings, **(settings or {})},
        )

    def describe(self) -> dict[str, str]:
        """What of this environment belongs into a fingerprint, as ``key: text``."""
        return {
            **{f"package.{name}": version for name, version in self.packages.items()},
            **{f"variable.{name}": value for name, value in self.variables.items()},
            **{f"setting.{name}": value for name, value in self.settings.items()},
        }
