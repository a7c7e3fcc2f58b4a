"""A script as the subject: the digests of its steps, modules and op calls, release by release."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from forkpoint.bisect.model import Answer, Size
from forkpoint.bisect.results import Place, digest
from forkpoint.bisect.subjects import RowKey
from forkpoint.environments import Environment
from forkpoint.errors import ScriptFailed
from forkpoint.host import Job, Workload, run_job
from forkpoint.store import EventRow, Recording, ValueRow
from forkpoint_worker.schema import KIND_INPUT, KIND_OP, OP, ROLE_IN

_END = "end"
"""An item that says: the script was recorded to its end, so there is no other item."""

_OP = "op "
"""How the items of op calls begin; their signature and place follow, with a tab between."""

_MOST_STEPS = 24
"""Steps that are looked at op by op: the first one of each module and input shapes."""


@dataclass(frozen=True, slots=True)
class Script:
    """A workload; each call of a module in each step is an item.

    So is each op call in the first step of each kind (module and input shapes).
    """

    workload: Workload
    timeout: float | None = None
    name: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """Name what the answers of this very script, as it is now, are kept under.

        Rows ask for it item by item, so the script is read here, once.
        """
        script = self.workload.script
        content = script.read_bytes().hex() if script else ""
        name = digest([self.workload.words(), str(self.workload.cwd), content])
        object.__setattr__(self, "name", name)

    @property
    def title(self) -> str:
        """The command line of the script."""
        return " ".join(self.workload.words())

    @property
    def keeps(self) -> bool:
        """Tensors of a whole script are not kept: capsules are for that."""
        return False

    def complete(self, answers: Mapping[str, Answer]) -> bool:
        """Whether this script was recorded to its end."""
        return f"{self.name}/{_END}" in answers

    def measure(self, environment: Environment, place: Place, control: Path) -> dict[str, Answer]:
        """Record the script twice, by modules, then some steps by ops.

        Raises `WorkerFailed` where the script fails.
        """
        del place
        with self._record(environment, control / "first") as recording:
            first = dict(_modules(recording))
            plan = _plan(recording)
        with self._record(environment, control / "second", plan) as recording:
            second = dict(_modules(recording))
            calls = dict(_calls(recording))
        found = {
            item: Answer(status="ran", digests=bits, repeatable=second.get(item) == bits)
            for item, bits in first.items()
        }
        found |= calls | {_END: Answer(status="end")}
        return {f"{self.name}/{item}": answer for item, answer in found.items()}

    def sizes(
        self,
        environment: Environment,
        pair: tuple[Place, Place],
        items: Sequence[str],
        control: Path,
    ) -> dict[str, Size]:
        """Nothing: a diagnosis measures them, or 'forkpoint compare' of the two releases."""
        del environment, pair, items, control
        return {}

    def row(self, item: str) -> RowKey | None:
        """``step 3 encoder.layer.0``, or an op's signature; None for what is no row."""
        name, _, place = item.partition("/")
        if place == _END or name != self.name:
            return None
        if not place.startswith(_OP):
            return RowKey(name=place, op="", dtype="", shapes=())
        signature = place.removeprefix(_OP).partition("\t")[0]
        op, _, arguments = signature.partition("(")
        return RowKey(name=signature, op=op, dtype=arguments.partition("[")[0], shapes=())

    def _record(
        self, environment: Environment, folder: Path, plan: Mapping[str, Any] | None = None
    ) -> Recording:
        job = Job(workload=self.workload, recording=folder / "recording", level="module", plan=plan)
        result = run_job(environment, job, control=folder / "logs", timeout=self.timeout)
        result.raise_for_failure()
        if not result.steps:
            raise ScriptFailed(
                f"{environment.name}: {self.title} ended and called no torch.nn.Module.",
                hint="Steps are calls of modules, model(batch), in the script's own process.",
            )
        return Recording.open(folder / "recording")


def _modules(recording: Recording) -> Iterator[tuple[str, tuple[str, ...]]]:
    for step in recording.steps():
        for event in recording.events(step.id):
            if event.inside and event.digest is not None and not event.op:
                where = event.module or step.module
                yield f"step {step.id} {where}{_again(event)}", (_text(event.digest),)


def _plan(recording: Recording) -> dict[str, Any]:
    """Look op by op at the first step of each module and input shapes."""
    columns = recording.columns
    places = dict(zip(columns.id.tolist(), columns.step.tolist(), strict=True))
    shapes = {
        places[event]: tuple((value.tensor.dtype, value.tensor.shape) for value in values)
        for event, values in recording.values_of_kind(KIND_INPUT).items()
    }
    first: dict[tuple[object, ...], int] = {}
    for step in recording.steps():
        first.setdefault((step.module, shapes.get(step.id)), step.id)
    chosen = list(first.values())[:_MOST_STEPS]
    steps = {str(step): {"level": "op", "store": []} for step in chosen}
    return {"default": {"level": "module", "store": []}, "reserve": 0, "steps": steps}


def _calls(recording: Recording) -> Iterator[tuple[str, Answer]]:
    """The op calls that compute something, with what stands for their inputs."""
    for step in recording.steps():
        if step.level < OP:
            continue
        values = recording.values_of_step(step.id)
        for event in recording.events(step.id):
            if event.inside and event.kind == KIND_OP and event.digest is not None:
                place = f"step {step.id} {event.module or step.module}{_again(event)}"
                inputs = _inputs(recording, values.get(event.id, ()))
                answer = Answer(status="ran", digests=(_text(event.digest),), inputs=inputs)
                yield f"{_OP}{event.signature}\t{place}", answer


def _inputs(recording: Recording, values: Sequence[ValueRow]) -> str | None:
    """What an op call was given: a view that was not hashed stands for its base."""
    parts: list[object] = []
    for value in values:
        if value.role != ROLE_IN:
            continue
        base = recording.hashed(value.tensor)
        if base is None:
            return None
        view = [] if base is value.tensor else [value.tensor.stride]
        parts.append([value.tensor.dtype, value.tensor.shape, base.digest, *view])
    return digest(parts)


def _again(event: EventRow) -> str:
    return f" call {event.call}" if event.call else ""


def _text(number: int) -> str:
    return f"{number & 2**64 - 1:016x}"
