"""Which steps are recorded how finely, and which tensors are kept."""

from __future__ import annotations

from typing import Any, Iterable, Mapping

from . import schema
from .capsules import Wanted

_LEVELS = {"bare": schema.BARE, "module": schema.MODULE, "op": schema.OP}


class Pick:
    """What to do in one step."""

    __slots__ = (
        "after", "capsules", "level", "modules", "ops", "store_modules", "store_root", "until",
        "window",
    )  # fmt: skip

    def __init__(
        self,
        level: str,
        store: Iterable[str] = (),
        modules: Iterable[str] | None = None,
        window: tuple[str | None, str | None] | None = None,
        ops: Iterable[str] = (),
        capsules: Wanted | None = None,
    ) -> None:
        self.level = _LEVELS[level]
        self.store_root = "root" in store
        self.store_modules = "modules" in store
        self.modules = None if modules is None else frozenset(modules)
        self.window = window is not None
        self.ops = frozenset(ops)
        self.capsules = capsules
        self.after, self.until = window or (None, None)

    def keeps(self, path: str) -> bool:
        """Whether the outputs of the module at ``path`` below the root are kept."""
        if path == "" and self.store_root:
            return True
        return self.store_modules and (self.modules is None or path in self.modules)


class Plan:
    """Picks by step number, from a job's ``plan``, or else from its ``level`` and ``steps``."""

    def __init__(self, job: Mapping[str, Any]) -> None:
        plan = job.get("plan")
        self.reserve = int(plan.get("reserve", 0)) if plan else 0
        self._ranges = None if plan else job.get("steps")
        self._named: dict[int, Pick] = {}
        self._outside = Pick("bare", ("root",))
        if plan:
            self._inside = _pick(plan["default"])
            self._named = {int(step): _pick(pick) for step, pick in plan["steps"].items()}
        else:
            self._inside = Pick(job.get("level") or "module", job.get("store", ("root",)))

    def pick(self, step: int) -> Pick:
        """What to do in step ``step``."""
        if self._ranges is not None and not any(
            (start or 0) <= step and (stop is None or step < stop) for start, stop in self._ranges
        ):
            return self._outside
        return self._named.get(step, self._inside)

    @property
    def has_ops(self) -> bool:
        """Whether any step may be recorded op by op."""
        return any(pick.level == schema.OP for pick in self._picks())

    @property
    def observes(self) -> bool:
        """Whether any step is looked into; else the run is bare."""
        return any(pick.level != schema.BARE for pick in self._picks())

    def _picks(self) -> list[Pick]:
        return [*self._named.values(), self._inside]


def _pick(data: Mapping[str, Any]) -> Pick:
    return Pick(
        data["level"],
        data.get("store") or (),
        data.get("modules"),
        data.get("window"),
        data.get("ops") or (),
        Wanted(data["capsules"]) if data.get("capsules") else None,
    )
