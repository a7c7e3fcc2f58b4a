"""Settings and variables that are put on both sides, and one that has to change nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervention:
    """One setting or variable, put on both sides."""

    variables: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """As it is written in an environment."""
        return " ".join(
            f"{key}={value}" for key, value in {**self.variables, **self.settings}.items()
        )

    @property
    def changes(self) -> int:
        """How many things it changes at once: what several do together tells nothing of each."""
        return len(self.variables) + len(self.settings)


CONTROL = Intervention(variables={"FORKPOINT_CONTROL": "1"})
"""Means nothing to anybody: it has to change nothing."""
