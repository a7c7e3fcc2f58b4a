"""Making a reproducer of a capsule, and running it to see that it shows the difference."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from forkpoint.api._options import Observer, Options
from forkpoint.api._runner import Asked, Runner
from forkpoint.claims import Claim, scratch_folder
from forkpoint.diagnose import argument_names
from forkpoint.environments import Environment, EnvironmentCache
from forkpoint.errors import RecordingError, UsageError
from forkpoint.host import Call, Replayed, Replayer, ScriptRun, run_script, unwritable
from forkpoint.process import in_parallel
from forkpoint.repro import (
    Reduced,
    Reproducer,
    Shown,
    Told,
    reduce_call,
    render_issue,
    write_folder,
)
from forkpoint.store import Capsule, RecordedCall, read_call, read_capsule
from forkpoint_worker.settings import MOST_THREADS

_STATEMENTS: Mapping[str, str] = {
    "threads": "torch.set_num_threads({})",
    "interop_threads": "torch.set_num_interop_threads({})",
    "matmul_precision": "torch.set_float32_matmul_precision({!r})",
    "deterministic": "torch.use_deterministic_algorithms({})",
    "mkldnn": "torch._C._set_mkldnn_enabled({})",
    "flush_denormal": "torch.set_flush_denormal({})",
    "tf32": "torch.backends.cuda.matmul.allow_tf32 = {}",
    "reduced_fp16": "torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = {}",
    "reduced_bf16": "torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = {}",
    "cudnn_benchmark": "torch.backends.cudnn.benchmark = {}",
    "blas": "torch.backends.cuda.preferred_blas_library({!r})",
}
_SWITCH = {"on": "True", "off": "False"}


def repro(
    capsule: str | PathLike[str],
    environments: Sequence[Asked] = (),
    *,
    out: Path,
    options: Options | None = None,
    observer: Observer | None = None,
) -> Reproducer:
    """Write a folder with a script that shows what a capsule holds, and with its inputs.

    Ops of torch's own libraries only, unless ``options.trust`` is set.

    With two ``environments`` (baseline first) that differ on it, the input is made as small as
    possible, and the script is run in both. Without, the capsule's own results are what it
    compares with. Raises `RecordingError` where the folder is no capsule or cannot be made a
    script of, `UsageError` where ``out`` is in the way or the environments do not differ.
    """
    folder = Path(capsule)
    options, observer = options or Options(), observer or Observer()
    about, call = read_capsule(folder), read_call(folder)
    _require_something_to_show(about, trust=options.trust)
    if len(environments) not in (0, 2):
        raise UsageError(
            f"repro takes two environments or none, not {len(environments)}.",
            hint="Name the one that is as wanted first, then the other.",
        )
    slots = tuple(sorted(about.outputs))
    with Claim.on(out.absolute()):
        made = _make(out)
        try:
            if not environments:
                return _alone(out, call, slots)
            return _reduced(call, slots, environments, out, options, observer)
        except BaseException:
            if made:
                shutil.rmtree(out, ignore_errors=True)
            raise


def _require_something_to_show(capsule: Capsule, *, trust: bool) -> None:
    obstacle = capsule.obstacle(trust=trust)
    if obstacle:
        hint = "See docs/repro.md."
        if not trust and capsule.obstacle(trust=True) is None:
            hint = "--trust does it all the same: only for capsules of your own."
        raise RecordingError(f"{capsule.folder} cannot be run alone: {obstacle}.", hint=hint)
    if not capsule.outputs:
        raise RecordingError(
            f"{capsule.folder} names no outputs: there is nothing to compare.",
            hint="Choose another capsule, or record this one again.",
        )


def _reduced(
    call: RecordedCall,
    slots: tuple[int, ...],
    environments: Sequence[Asked],
    out: Path,
    options: Options,
    observer: Observer,
) -> Reproducer:
    with EnvironmentCache(max_bytes=options.max_cache) as cache:
        runner = Runner(options, observer, cache, limited=True)
        one, two = runner.build(environments)
        with scratch_folder() as logs, ExitStack() as stack:
            replayers = {
                side.name: stack.enter_context(closing(replayer))
                for side in (one, two)
                if (replayer := runner.replayer(side, logs=logs / side.name)) is not None
            }
            return _Work(runner, (one, two), replayers, logs, out).finish(call, slots)


def _make(out: Path) -> bool:
    """Make the folder; whether it was not there before."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is in the way.", hint="Name a new or empty folder with --out.")
    made = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable("A reproducer", out, error) from error
    return made


def _alone(out: Path, call: RecordedCall, slots: tuple[int, ...]) -> Reproducer:
    told = Told(title=f"{call.op} on recorded inputs", slots=slots, lines=_state_lines(call, ()))
    write_folder(out, call, told, names=argument_names(call))
    stored = call.outputs(slots)
    (out / "expected.bin").write_bytes(stored)
    shapes = tuple(layout.shape for layout in call.tensors)
    made = Reproducer(folder=out, op=call.op, shapes=shapes, recorded=shapes, tried=0)
    _write_issue(made, call, ())
    return made


@dataclass(frozen=True, slots=True)
class _Work:
    """A reproducer in the making, with both environments and the processes that stay in them."""

    runner: Runner
    sides: tuple[Environment, Environment]
    replayers: Mapping[str, Replayer]
    logs: Path
    out: Path

    def finish(self, call: RecordedCall, slots: tuple[int, ...]) -> Reproducer:
        names = [side.name for side in self.sides]
        slot = self._first_difference(call)
        if slot is None:
            raise UsageError(
                f"{names[0]} and {names[1]} give the same bits on {call.folder}.",
                hint="Name two environments that differ on it; 'forkpoint replay' tells. Where it "
                "differs inside the script only, it cannot be shown by one call.",
            )
        reduced = reduce_call(call, partial(self._differ, call, slot))
        self._write(reduced, slots)
        shown = self._run()
        recorded = tuple(layout.shape for layout in call.tensors)
        made = Reproducer(
            folder=self.out,
            op=call.op,
            shapes=tuple(layout.shape for layout in reduced.call.tensors),
            recorded=recorded,
            tried=reduced.tried,
            shown=shown,
            verified=[one.status for one in shown] == [0, 1],
        )
        _write_issue(made, call, self.sides)
        return made

    def _first_difference(self, call: RecordedCall) -> int | None:
        """The first output in which the recorded call differs: what a smaller one has to show."""
        one, two = self._replayed(call, [call.document])[0]
        places = range(min(len(one.outputs), len(two.outputs)))
        return next((place for place in places if _slot_differs(one, two, place)), None)

    def _differ(
        self, call: RecordedCall, slot: int, documents: Sequence[Mapping[str, Any]]
    ) -> Sequence[bool]:
        return [_slot_differs(one, two, slot) for one, two in self._replayed(call, documents)]

    def _replayed(
        self, call: RecordedCall, documents: Sequence[Mapping[str, Any]]
    ) -> list[tuple[Replayed, Replayed]]:
        calls = [
            Call(id=str(number), capsule=call.folder, call=document)
            for number, document in enumerate(documents)
        ]
        one, two = in_parallel([partial(self._replay, side, calls) for side in self.sides])
        return [(one[each.id], two[each.id]) for each in calls]

    def _replay(self, side: Environment, calls: Sequence[Call]) -> dict[str, Replayed]:
        return self.runner.replay(
            side,
            calls,
            logs=self.logs / side.name,
            purpose="reducing",
            replayer=self.replayers.get(side.name),
        )

    def _write(self, reduced: Reduced, slots: tuple[int, ...]) -> None:
        one, two = self.sides
        told = Told(
            title=f"{reduced.call.op}: other bits in {two.name} than in {one.name}",
            slots=slots,
            constant=reduced.constant,
            lines=_state_lines(reduced.call, self.sides),
        )
        write_folder(self.out, reduced.call, told, names=argument_names(reduced.call))

    def _run(self) -> tuple[Shown, ...]:
        """Really run the script: once to save what the baseline gives, then in both."""
        script = self.out / "repro.py"
        first = self.sides[0]
        saved = self._run_in(first, [script, first.name, "--save"], "save")
        if saved.status:
            return (Shown(environment=first.name, status=saved.status, output=saved.output),)
        found = []
        for side in self.sides:
            ran = self._run_in(side, [script, side.name], f"run-{side.name}")
            found.append(Shown(environment=side.name, status=ran.status, output=ran.output))
        return tuple(found)

    def _run_in(self, side: Environment, words: Sequence[str | Path], logs: str) -> ScriptRun:
        timeout = self.runner.options.timeout
        return run_script(side, words, logs=self.logs / logs, timeout=timeout)


def _slot_differs(one: Replayed, two: Replayed, place: int) -> bool:
    """Whether both ran, and differ in this output."""
    if one.status != "ran" or two.status != "ran":
        return False
    return one.digests[place : place + 1] != two.digests[place : place + 1]


def _state_lines(call: RecordedCall, sides: Sequence[Environment]) -> dict[str, Sequence[str]]:
    """The threads of the recorded call for all, and the settings of each environment."""
    threads = call.state.get("threads")
    lines: dict[str, Sequence[str]] = {}
    if type(threads) is int and 0 < threads <= MOST_THREADS:
        lines[""] = [_STATEMENTS["threads"].format(threads)]
    for side in sides:
        known = {key: value for key, value in side.settings.items() if key in _STATEMENTS}
        lines[side.name] = [
            _STATEMENTS[key].format(_SWITCH.get(value, int(value) if value.isdigit() else value))
            for key, value in known.items()
        ]
    return lines


def _write_issue(made: Reproducer, call: RecordedCall, sides: Sequence[Environment]) -> None:
    text = render_issue(made, sides, call.fingerprint)
    (made.folder / "ISSUE.md").write_text(text, encoding="utf-8")
