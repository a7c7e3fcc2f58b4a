"""Confirming origins alone: their calls, replayed as capsules, with controls."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from forkpoint.compare import OriginKey
from forkpoint.diagnose.bench import Case
from forkpoint.diagnose.lockstep import Lockstep, representatives
from forkpoint.diagnose.words import base_name
from forkpoint.host import Call, Replayed
from forkpoint.process import in_parallel
from forkpoint.store import read_capsule


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolated:
    """What replaying one origin's capsules showed.

    ``confirmed`` is ``replay`` where each side alone gives its own recorded bits, and the two
    differ; ``in_place`` where only the running script shows the difference; ``reason`` says
    why. ``folder`` holds the baseline's capsule, where one was kept.
    """

    confirmed: Literal["replay", "in_place"]
    reason: str
    folder: Path | None = None


def isolate(case: Case, found: Lockstep) -> dict[OriginKey, Isolated]:
    """Replay the first call of each origin in both environments, alone.

    Controls: the baseline's capsule in the baseline gives the baseline's recorded bits, the
    candidate's own in the candidate gives the candidate's. Capsules move to ``case.folder``.
    """
    pairs = dict(_captured(case, found))
    calls = [
        [
            call
            for number, folders in enumerate(pairs.values())
            for call in _calls(number, folders, side)
        ]
        for side in (0, 1)
    ]
    replay = "replaying the origins alone"
    tasks = [
        partial(bench.replay, asked, purpose=replay)
        for bench, asked in zip(case.benches, calls, strict=True)
    ]
    answers = in_parallel(tasks) if pairs else [{}, {}]
    isolated = {}
    for number, (key, folders) in enumerate(pairs.items()):
        isolated[key] = _judge(number, folders, answers)
    for call in representatives(found.origins):
        nothing = Isolated(confirmed="in_place", reason="no capsule of it could be kept")
        isolated.setdefault(call.origin, nothing)
    return isolated


def _calls(number: int, folders: tuple[Path, Path], side: int) -> list[Call]:
    own, other = folders[side], folders[1 - side]
    asked = [Call(id=f"{number}/own", capsule=own, repeat=2, against=("capsule", other))]
    if side == 1:
        asked.append(Call(id=f"{number}/crossed", capsule=other, state=own, against=(own,)))
    return asked


def _captured(case: Case, found: Lockstep) -> Iterator[tuple[OriginKey, tuple[Path, Path]]]:
    """The capsules of both sides, by origin; only calls that both sides kept."""
    sides = [{_place(folder): folder for folder in _capsules(root)} for root in found.capsules]
    wanted = representatives(found.origins)
    for number, call in enumerate(wanted, 1):
        if call.place not in sides[0] or call.place not in sides[1]:
            continue
        target = case.folder / f"{number:02}-{base_name(call.op)}"
        target.mkdir(parents=True, exist_ok=True)
        moved = [target / bench.name for bench in case.benches]
        for side, folder in zip(sides, moved, strict=True):
            shutil.move(side[call.place], folder)
        yield call.origin, (moved[0], moved[1])


def _capsules(root: Path) -> list[Path]:
    return sorted(path.parent for path in root.glob("*/capsule.json"))


def _place(folder: Path) -> tuple[int, str, str, int]:
    capsule = read_capsule(folder)
    return capsule.step, capsule.module, capsule.op, capsule.number


def _judge(number: int, folders: tuple[Path, Path], answers: list[dict[str, Replayed]]) -> Isolated:
    recorded = [read_capsule(folder).outputs for folder in folders]
    owns = [answer[f"{number}/own"] for answer in answers]
    folder = folders[0]
    for own, side in zip(owns, recorded, strict=True):
        if own.status != "ran":
            reason = f"replay {own.status}: {own.reason or 'no reason given'}"
            return Isolated(confirmed="in_place", reason=reason, folder=folder)
        if not _gives(own, side):
            reason = "alone, the op does not give the bits that it gave in the script"
            return Isolated(confirmed="in_place", reason=reason, folder=folder)
    crossed = answers[1][f"{number}/crossed"]
    if recorded[0] == recorded[1] or not _gives(crossed, recorded[1]):
        reason = "alone, given the baseline's memory, the candidate gives other bits again"
        return Isolated(confirmed="in_place", reason=reason, folder=folder)
    reason = "both controls passed: each environment alone gives its own recorded bits"
    return Isolated(confirmed="replay", reason=reason, folder=folder)


def _gives(answer: Replayed, recorded: Mapping[int, str]) -> bool:
    found = {output.slot: output.digest for output in answer.outputs}
    same = all(found.get(slot) == digest for slot, digest in recorded.items())
    return answer.status == "ran" and answer.repeatable and same
