"""What a recorder is told besides its plan."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, Mapping

if TYPE_CHECKING:
    import torch

    from .reference import Reference


@dataclass(frozen=True)
class Options:
    """``max_storage`` is in bytes; ``stop_after`` a number of steps, or None; ``reference`` the
    recording to compare tensors with; ``only`` the one module whose calls are steps, so that
    nothing else is looked at; ``ending`` ends the process when it has seen enough;
    ``substitute`` the ops whose outputs are replaced by those of the reference, ``swap`` the
    watched functions whose results are;
    ``fingerprint`` is written into capsules; ``variants`` are the job's, or None.
    """

    max_storage: int
    stop_after: int | None = None
    reference: Reference | None = None
    only: torch.nn.Module | None = None
    substitute: tuple[str, ...] = ()
    swap: tuple[str, ...] = ()
    fingerprint: Mapping[str, str] = field(default_factory=dict)
    variants: Mapping[str, Any] | None = None
    ending: Callable[[], None] | None = None
