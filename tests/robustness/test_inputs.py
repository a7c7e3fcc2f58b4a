"""Inputs of every kind, changed at random: read or refused, in little memory and time, no code run.

Few in a usual run; ``--fuzz-inputs 1000000`` tries many, in as many processes as there are cores,
and prints how many were tried and what came of them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.robustness.readers import READERS, Reader
from tests.support.cli import SOURCES

_ROOT = Path(__file__).parents[2]
_BATCH = 2000
_SILENCE = 60.0
"""Seconds without a new input after which a reader hangs."""


@dataclass
class Tally:
    """What came of all inputs of one reader."""

    tried: int = 0
    found: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


@pytest.mark.timeout(0)
@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_changed_inputs_are_read_or_refused(
    reader: Reader, fuzz_inputs: int, pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    shares = sum(one.share for one in READERS.values())
    count = max(10, fuzz_inputs * reader.share // shares)
    first = pytestconfig.getoption("fuzz_seed")
    starts = range(first, first + count, _BATCH)
    tally = Tally()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        ends = (min(start + _BATCH, first + count) for start in starts)
        jobs = [
            pool.submit(_batch, reader.name, start, end - start, tmp_path / str(start))
            for start, end in zip(starts, ends, strict=True)
        ]
        for job in jobs:
            one = job.result()
            tally.tried += one.tried
            tally.found += one.found
            tally.faults += one.faults
    print(f"\n{reader.name}: {tally.tried:,} inputs tried, {_summary(tally.found)}")
    print(*tally.faults[:3], sep="\n")
    assert not tally.faults, "\n".join(tally.faults[:10])
    assert tally.found["refused"] + tally.found["read"] == tally.tried
    assert tally.found["refused"], "no input was bad enough: the changes are not felt"


def _summary(found: Counter[str]) -> str:
    names = ("read", "refused", "hangs", "over memory", "code run", "slow", "faults", "died")
    return ", ".join(f"{name} {found[name]:,}" for name in names)


def _batch(reader: str, first: int, count: int, folder: Path) -> Tally:
    """Read inputs in a process of its own, which is ended where it hangs; go on behind that one."""
    tally = Tally()
    while count > 0:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "tmp").mkdir()
        ended, hung = _watched(reader, first, count, folder)
        if ended is not None:
            found = json.loads(ended)
            tally.tried += count
            tally.found += Counter(found["found"])
            tally.faults += [f"{reader} seed {seed}: {text}" for seed, text in found["faults"]]
            break
        seed = int((folder / "at").read_text()) if (folder / "at").exists() else first
        how = "hangs" if hung else "died"
        tally.found[how] += 1
        tally.faults.append(f"{reader} seed {seed}: {how}: {(folder / 'err').read_text()[-1500:]}")
        tally.tried += seed + 1 - first
        count -= seed + 1 - first
        first = seed + 1
    shutil.rmtree(folder, ignore_errors=True)
    return tally


def _watched(reader: str, first: int, count: int, folder: Path) -> tuple[bytes | None, bool]:
    words = [sys.executable, "-m", "tests.robustness.batch", reader, str(first), str(count), folder]
    variables = {
        **os.environ,
        "PYTHONPATH": f"{_ROOT}{os.pathsep}{SOURCES}",
        "TMPDIR": str(folder / "tmp"),
    }
    with (
        (folder / "out").open("wb") as out,
        (folder / "err").open("wb") as err,
        subprocess.Popen(words, stdout=out, stderr=err, env=variables, cwd=_ROOT) as child,
    ):
        at, moved = "", time.monotonic()
        while child.poll() is None:
            time.sleep(0.05)
            now = (folder / "at").read_text() if (folder / "at").exists() else ""
            if now != at:
                at, moved = now, time.monotonic()
            if time.monotonic() - moved > _SILENCE:
                child.kill()
                return None, True
    return ((folder / "out").read_bytes() if child.returncode == 0 else None), False
