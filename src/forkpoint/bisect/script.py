"""A script as the subject: the digests of its steps and modules, release by release."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from forkpoint.bisect.model import Answer, Size
from forkpoint.bisect.results import Place, digest
from forkpoint.bisect.subjects import RowKey
from forkpoint.environments import Environment
from forkpoint.errors import ScriptFailed
from forkpoint.host import Job, Workload, run_job
from forkpoint.store import Recording

_END = "end"
"""An item that says: the script was recorded to its end, so there is no other item."""


@dataclass(frozen=True, slots=True)
class Script:
    """A workload; each call of a module in each step is an item."""

    workload: Workload
    timeout: float | None = None
    _name: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Name what the answers of this very script, as it is now, are kept under.

        Rows ask for it item by item, so the script is read here, once.
        """
        script = self.workload.script
        content = script.read_bytes().hex() if script else ""
        name = digest([self.workload.words(), str(self.workload.cwd), content])
        object.__setattr__(self, "_name", name)

    @property
    def title(self) -> str:
        """The command line of the script."""
        return " ".join(self.workload.words())

    def complete(self, answers: Mapping[str, Answer]) -> bool:
        """Whether this script was recorded to its end."""
        return f"{self._name}/{_END}" in answers

    def measure(self, environment: Environment, place: Place, control: Path) -> dict[str, Answer]:
        """Record the script by modules, twice; raises `WorkerFailed` where it fails."""
        del place  # tensors of a whole script are not kept: capsules are for that
        first = self._record(environment, control / "first")
        second = self._record(environment, control / "second")
        name = self._name
        found = {
            f"{name}/{item}": Answer(
                status="ran", digests=bits, repeatable=second.get(item) == bits
            )
            for item, bits in first.items()
        }
        return {**found, f"{name}/{_END}": Answer(status="end")}

    def sizes(
        self,
        environment: Environment,
        pair: tuple[Place, Place],
        items: Sequence[str],
        control: Path,
    ) -> dict[str, Size]:
        """Nothing: 'forkpoint compare' between the two releases measures them."""
        del environment, pair, items, control
        return {}

    def row(self, item: str) -> RowKey | None:
        """``step 3 encoder.layer.0``, and which call of it; None for what is no row."""
        name, _, place = item.partition("/")
        if place == _END or name != self._name:
            return None
        return RowKey(name=place, op="", dtype="", shapes=())

    def _record(self, environment: Environment, folder: Path) -> dict[str, tuple[str, ...]]:
        job = Job(workload=self.workload, recording=folder / "recording", level="module")
        result = run_job(environment, job, control=folder / "logs", timeout=self.timeout)
        result.raise_for_failure()
        if not result.steps:
            raise ScriptFailed(
                f"{environment.name}: {self.title} ended and called no torch.nn.Module.",
                hint="Steps are calls of modules, model(batch), in the script's own process.",
            )
        with Recording.open(folder / "recording") as recording:
            return _digests(recording)


def _digests(recording: Recording) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for step in recording.steps():
        for event in recording.events(step.id):
            if event.inside and event.digest is not None and not event.op:
                where = event.module or step.module
                call = f" call {event.call}" if event.call else ""
                found[f"step {step.id} {where}{call}"] = (f"{event.digest & 2**64 - 1:016x}",)
    return found
