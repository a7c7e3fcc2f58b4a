"""What experiments say of origins that they did not look at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

from forkpoint.diagnose import Case
from forkpoint.diagnose.bench import Bench
from forkpoint.diagnose.experiments.findings import MOST_ORIGINS, evidence, pairs
from forkpoint.model import Origin, Tolerance
from tests.report.examples import demo


class _Named:
    """A bench of which nothing but the name is asked."""

    def __init__(self, name: str) -> None:
        self.name = name


def _case(folder: Path, *, alone: int, in_place: int) -> Case:
    origins = []
    for number in range(alone + in_place):
        for name in ("old", "new"):
            (folder / "capsules" / str(number) / name).mkdir(parents=True)
        origin = Origin(op="aten.mm.default", signature="", modules=(), shapes=(), steps=())
        confirmed = replace(origin, capsule=f"capsules/{number}/old", confirmed="in_place")
        origins.append(replace(confirmed, confirmed="replay") if number < alone else confirmed)
    one, two = (cast(Bench, _Named(name)) for name in ("old", "new"))
    return Case(
        comparison=replace(demo(), origins=tuple(origins)),
        tolerance=Tolerance(name="bitwise", limits={}),
        benches=(one, two),
        first=(folder, folder),
        recordings=(folder, folder),
        folder=folder / "capsules",
        scratch=folder,
        room=0,
    )


def test_origins_beyond_the_first_few_are_counted_apart_from_those_in_place(
    tmp_path: Path,
) -> None:
    case = _case(tmp_path, alone=MOST_ORIGINS + 2, in_place=1)
    told = ["mm: something" for _ in pairs(case)]
    assert evidence(case, told, nothing="").endswith(
        "; 1 more origin was not tried: shown inside the script only"
        "; 2 more origins were not tried: 4 are looked at, at most"
    )


def test_nothing_is_counted_where_all_were_looked_at(tmp_path: Path) -> None:
    case = _case(tmp_path, alone=2, in_place=0)
    assert evidence(case, ["a", "b"], nothing="") == "a; b"
