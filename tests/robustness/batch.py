"""A process that reads inputs made by seeds, within limits, and prints a line of JSON.

``READER FIRST COUNT FOLDER [SECONDS]``. The parent sees in FOLDER/at which seed is under way, so
that it can tell which one hung or killed this process.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

from forkpoint.errors import ForkpointError
from forkpoint_worker.limits import memory_limit
from tests.robustness.mutate import MARK

MEMORY = 1 << 30
"""Bytes that reading one input of under a megabyte may take."""

_BEGINNINGS = (
    *("os.system", "os.exec", "os.posix_spawn", "os.spawn", "subprocess.Popen"),
    *("socket.connect", "pickle.find_class", "ctypes.dlopen", "webbrowser.open"),
)


def main(reader: str, first: int, count: int, folder: Path, slow: float = 10.0) -> None:
    """Read the inputs of ``count`` seeds and print what came of them."""
    from tests.robustness.readers import READERS

    one = READERS[reader]
    started: list[str] = []
    armed = [False]

    def watch(event: str, _arguments: tuple[Any, ...]) -> None:
        if armed[0] and event in _BEGINNINGS:
            started.append(event)

    sys.addaudithook(watch)
    found: Counter[str] = Counter()
    faults: list[tuple[int, str]] = []
    os.chdir(folder)
    at = folder / "at"
    for seed in range(first, first + count):
        at.write_text(str(seed))
        work = folder / "work"
        work.mkdir()
        began = time.monotonic()
        armed[0] = True
        try:
            with memory_limit(MEMORY):
                one.read(work, random.Random(f"{reader} {seed}"))
            found["read"] += 1
        except ForkpointError as error:
            found["refused"] += 1
            if not error.message:
                faults.append((seed, "a refusal without a word"))
        except MemoryError:
            found["over memory"] += 1
            faults.append((seed, "over memory"))
        except Exception:  # noqa: BLE001 - whatever it is, it is a fault, and it is shown
            found["faults"] += 1
            faults.append((seed, traceback.format_exc()[-1500:]))
        armed[0] = False
        if time.monotonic() - began > slow:
            found["slow"] += 1
            faults.append((seed, f"{time.monotonic() - began:.0f} s"))
        if started or (folder / MARK).exists() or (work / MARK).exists():
            found["code run"] += 1
            faults.append((seed, f"code run: {started}"))
            started.clear()
        shutil.rmtree(work)
    print(json.dumps({"found": found, "faults": faults[:20]}))


if __name__ == "__main__":
    reader, first, count, folder = sys.argv[1:5]
    main(reader, int(first), int(count), Path(folder), *map(float, sys.argv[5:6]))
