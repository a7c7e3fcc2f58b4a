"""How fast folders of arrays are compared, and in how much memory.

    python benchmarks/bench_artifacts.py --size 2GB

Makes two folders of that size each, reads them once so that they come from memory, and
compares them in a process of its own: equal files, a fifth of the values changed, all changed by
one ULP, or by many. Speed counts the bytes of one folder. The files of a folder are hard links
to one of 256 MiB, so that 10 GB need no room. ``--only float16`` leaves other dtypes out.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from forkpoint.environments import parse_size
from forkpoint.store import DTYPES

FILE = 256 << 20
CASES = (
    ("float32", 0.0, ""),
    ("float32", 0.2, ""),
    ("float32", 1.0, ""),
    ("float32", 1.0, "far"),
    ("float16", 1.0, ""),
    ("float16", 1.0, "far"),
    ("bfloat16", 1.0, ""),
    ("bfloat16", 1.0, "far"),
    ("float64", 1.0, "far"),
    ("int32", 1.0, ""),
    ("uint8", 0.02, ""),
    ("uint8", 1.0, ""),
)
"""dtype, the share of values that change, and whether by far more than one ULP."""

WORKER = """
import sys, time
from forkpoint import api
start = time.perf_counter()
result = api.diff_artifacts(sys.argv[1], sys.argv[2])
seconds = time.perf_counter() - start
# not ru_maxrss: that begins with what the parent had when it forked
status = open("/proc/self/status").read()
peak = int(status.partition("VmHWM:")[2].split()[0]) * 1024
print(result.verdict, seconds, peak)
"""


def main() -> None:
    """Print one line for each case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=parse_size, default=2 * 10**9)
    parser.add_argument("--folder", type=Path, help="where the files go for the time")
    parser.add_argument("--only", metavar="DTYPE")
    chosen = parser.parse_args()
    for case in CASES:
        if chosen.only not in (None, case[0]):
            continue
        with tempfile.TemporaryDirectory(dir=chosen.folder) as place:
            measure(Path(place), chosen.size, case)


def measure(place: Path, size: int, case: tuple[str, float, str]) -> None:
    """Write, compare and print one case."""
    dtype, changed, how = case
    files = max(1, size // FILE)
    write(place, files, case)
    argv = [sys.executable, "-c", WORKER, str(place / "a"), str(place / "b")]
    for folder in "ab":
        for path in (place / folder).iterdir():
            path.read_bytes()
    verdict, seconds, peak = subprocess.check_output(argv, text=True).split()
    size = files * FILE
    print(
        f"{dtype:8} {changed:4.0%} changed {how:4} {size / 1e9:.2f} GB a side  {verdict:16} "
        f"{size / 1e6 / float(seconds):6.0f} MB/s  peak {int(peak) / 1e6:.0f} MB",
        flush=True,
    )


def write(place: Path, files: int, case: tuple[str, float, str]) -> None:
    """One random file under several names, and its neighbour with other bits."""
    dtype, changed, how = case
    rng = np.random.default_rng(0)
    kind = DTYPES[dtype]
    items = FILE // kind.itemsize
    random = rng.integers(0, 256, items) if "int" in dtype else rng.standard_normal(items)
    one = random.astype(kind)
    two = (one + one.dtype.type(1e-3)) if how else one.copy()
    two.view(f"u{two.itemsize}")[rng.random(items) < changed] ^= 1
    for name, array in (("a", one), ("b", two)):
        (place / name).mkdir()
        first = place / name / ("0.npy" if kind.isbuiltin == 1 else "0.safetensors")
        if kind.isbuiltin == 1:
            np.save(first, array)
        else:  # numpy has no name for it
            save_file({"x": array}, first)
        for number in range(1, files):
            os.link(first, first.with_stem(str(number)))


if __name__ == "__main__":
    main()
