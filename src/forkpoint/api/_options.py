"""What a caller may choose, and how a caller may watch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from forkpoint.compare import parse_tolerance
from forkpoint.diagnose import EXPERIMENTS, SEARCH
from forkpoint.environments import MOST_SECONDS, Environment
from forkpoint.errors import UsageError
from forkpoint.host import JobResult, LastEvent
from forkpoint.model import Tolerance

MAX_STORAGE = 5 * 10**8


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to record and compare.

    ``level``: ``module`` finds the steps that differ, then looks at a few of them op by op;
    ``op`` records every op of every step at once. ``steps`` are half-open ranges of the steps
    to look into (null: all). ``tolerance``: a preset (``torch``, ``bitwise``, ``bnb``) or a
    `Tolerance`. ``timeout`` is in seconds for each run of the script; ``max_storage`` is the
    bytes of tensors to keep, ``max_cache`` the bytes of built environments to keep.
    ``jobs=2`` runs both environments at once: faster, and cores, memory and the files that the
    script writes are then shared. With a ``timeout`` that holds for the first pass only.
    ``artifacts`` is a file or folder that the script writes, to be compared, too; relative to
    the folder in which the script runs. ``relevance`` is a file of judgements (TREC form) by
    which rankings among them are measured; the script may write it, below ``artifacts``.
    ``diagnose``: whether to search for the ops that are the cause, where steps differ;
    ``experiments`` names what to try on them then (null: everything in `EXPERIMENTS`);
    ``crop`` is the (dimension, start, stop) for the crop experiment, which else chooses one.
    ``watch`` names functions whose calls are recorded, too: ``package.module:function``.
    ``swap`` names functions (several at once, joined by ``+``) that are watched as well, and for
    each a further run of the candidate with the baseline's results in place of its own.
    ``trust``: what a capsule from elsewhere asks for is run whatever library its op is of, and
    without limits on memory and time.
    ``out`` is the folder for all results, new or empty; with ``force`` it may hold older ones.
    """

    level: Literal["module", "op"] = "module"
    steps: tuple[tuple[int, int], ...] | None = None
    tolerance: str | Tolerance = "torch"
    timeout: float | None = None
    max_storage: int = MAX_STORAGE
    max_cache: int | None = None
    torch_backend: str = "auto"
    jobs: Literal[1, 2] = 1
    out: Path | None = None
    force: bool = False
    watch: tuple[str, ...] = ()
    swap: tuple[str, ...] = ()
    artifacts: Path | None = None
    relevance: Path | None = None
    diagnose: bool = True
    experiments: tuple[str, ...] | None = None
    crop: tuple[int, int, int] | None = None
    trust: bool = False

    def __post_init__(self) -> None:
        """Raise `UsageError` for a value that cannot be."""
        if self.level not in ("module", "op"):
            raise UsageError(f"There is no level {self.level!r}.", hint="Choose 'module' or 'op'.")
        if self.timeout is not None and not 0 < self.timeout < MOST_SECONDS:
            raise UsageError(
                f"A time limit of {self.timeout} seconds leaves no time to run, or is none.",
                hint="Give a number above 0, or leave it away for no limit.",
            )
        if self.max_storage < 0:
            raise UsageError("A storage limit is 0 or more bytes.", hint="For example 2GB.")
        if self.artifacts is not None and self.jobs > 1:
            raise UsageError(
                f"Two runs at once would both write {self.artifacts}.",
                hint="Leave --jobs away where --artifacts is given.",
            )
        if self.relevance is not None and self.artifacts is None:
            raise UsageError(
                f"There are no rankings to measure by {self.relevance}.",
                hint="Name the file or folder that the script writes with --artifacts.",
            )
        for name in self.watched:
            _require_name(name)
        require_experiments(self.experiments or ())
        read_tolerance(self.tolerance)

    @property
    def watched(self) -> tuple[str, ...]:
        """All functions to watch, those that are swapped included."""
        swapped = (name for text in self.swap for name in swapped_functions(text))
        return tuple(dict.fromkeys((*self.watch, *swapped)))


def swapped_functions(text: str) -> tuple[str, ...]:
    """The functions that one swap names: ``package.module:train+package.module:cut``."""
    return tuple(dict.fromkeys(text.split("+")))


def require_experiments(names: Iterable[str]) -> None:
    """Raise `UsageError` where a name is no experiment's."""
    known = (*SEARCH, *EXPERIMENTS)
    for name in names:
        if name not in known:
            raise UsageError(
                f"There is no experiment {name!r}.", hint=f"There are {', '.join(known)}."
            )


def _require_name(watched: str) -> None:
    module, colon, function = watched.partition(":")
    parts = (*module.split("."), *function.split("."))
    if not colon or not all(part.isidentifier() for part in parts):
        raise UsageError(
            f"{watched!r} does not name a function to watch.",
            hint="Write package.module:function, or package.module:Class.method for a method.",
        )
    if module == "__main__":
        raise UsageError(
            f"{watched!r} cannot be watched: functions of the script itself are not imported.",
            hint="Move the function into a module beside the script, and name that one.",
        )


def read_tolerance(tolerance: str | Tolerance) -> Tolerance:
    """A `Tolerance` as it is, or the preset of that name; `UsageError` where there is none."""
    return parse_tolerance(tolerance) if isinstance(tolerance, str) else tolerance


def as_job(tolerance: Tolerance) -> dict[str, Any]:
    """A tolerance as a worker's job spells it."""
    return {"limits": dict(tolerance.limits), "outputs": dict(tolerance.outputs)}


class Observer:
    """Is told what goes on; does nothing by itself. Override what you want to show.

    With ``jobs=2``, and while environments are built, methods are called from several threads.
    """

    def building(self, name: str, line: str) -> None:
        """Environment ``name`` is being built; ``line`` says what happens."""

    def built(self, environment: Environment) -> None:
        """An environment is ready."""

    def running(self, name: str, purpose: str) -> None:
        """A run of the script begins in environment ``name``."""

    def event(self, name: str, last: LastEvent) -> None:
        """The script has come to this event (told about twenty times a second)."""

    def line(self, name: str, text: str, log: Path) -> None:
        """The script has printed a line; all of its output is kept in ``log``."""

    def ended(self, result: JobResult) -> None:
        """A run has ended."""

    def note(self, text: str) -> None:
        """Something worth a sentence."""
