"""How long, and in how much memory, two recordings of 1,000,000 events are compared.

    python benchmarks/bench_diff.py [--steps 10000] [--events 100] [--differ 0.01] [--runs 5]

Makes a pair of recordings as the worker writes them (op level: 12 modules a step, the rest
ops with two inputs and one output each, so 1,000,000 tensors and 2,900,000 values a side).
A share of the steps, --differ, differs from some op on.
Each run is a fresh process that opens both and calls `forkpoint.compare.diff`; printed are
the median time, all times, and the largest peak of resident memory.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from forkpoint_worker import schema

MODULES = 12


def make(folder: Path, steps: int, events: int, changed: dict[int, int]) -> None:
    """Write one recording; step ``s`` differs from its event ``changed[s]`` on."""
    (folder / "tensors").mkdir(parents=True)
    db = sqlite3.connect(folder / "index.sqlite", isolation_level=None)
    for pragma in ("journal_mode=OFF", "synchronous=OFF"):
        db.execute(f"PRAGMA {pragma}")
    for statement in (*schema.TABLES.values(), *schema.INDEXES.values()):
        db.execute(statement)
    db.execute("BEGIN")
    names = ["", "Net", "float32", "32,128,384", "49152,384,1", "cpu", "x"]
    names += [f"encoder.layer.{i}" for i in range(MODULES)]
    names += ["aten.addmm.default", "aten.native_layer_norm.default", "aten.gelu.default"]
    names += ["addmm(float32[32,128,384])"]
    db.executemany("INSERT INTO name VALUES (?, ?)", list(enumerate(names, start=1)))
    for step in range(steps):
        db.execute("INSERT INTO step VALUES (?, 2, 2, 1, 0)", (step,))
        rows = list(step_rows(step, events, changed.get(step, events)))
        first = step * events + 1
        db.executemany("INSERT INTO event VALUES (?, ?, 1, ?, ?, ?, ?, ?, ?)", rows)
        tensors = [(row[0], 3, 4, 5, 6, schema.SOURCE_OP, None, row[7]) for row in rows]
        db.executemany("INSERT INTO tensor VALUES (?, ?, ?, ?, ?, ?, ?, ?)", tensors)
        values = [(row[0], schema.ROLE_OUT, 0, 7, row[0]) for row in rows[1:]]
        values += [
            (row[0], schema.ROLE_IN, slot, 7, max(first, row[0] - 1 - slot))
            for row in rows
            for slot in range(1 if row[0] == first else 2)
        ]
        db.executemany("INSERT INTO value VALUES (?, ?, ?, ?, ?)", values)
    db.execute("COMMIT")
    db.close()
    manifest = {"format": schema.FORMAT, "complete": True, "name": folder.name, "level": "op"}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def step_rows(step: int, events: int, changed: int) -> Iterator[tuple[int, ...]]:
    """Event rows: an input, ops in modules, a module's end now and then, the root's end."""
    layer = 8
    every = events // MODULES
    for i in range(events):
        number = step * events + i + 1
        digest = random.Random(number * 2 + (i >= changed)).getrandbits(62)
        if i == 0:
            yield number, step, schema.KIND_INPUT, 1, 0, 0, 0, digest
        elif i == events - 1:
            yield number, step, schema.KIND_MODULE, 1, 0, 0, 0, digest
        elif i % every == 0 and layer < 8 + MODULES:
            yield number, step, schema.KIND_MODULE, layer, 0, 0, 0, digest
            layer += 1
        else:
            op = 8 + MODULES + i % 3
            yield number, step, schema.KIND_OP, min(layer, 7 + MODULES), op, i // 3, 23, digest


def run_once(one: Path, two: Path) -> None:
    """Compare, and print seconds and peak memory as JSON."""
    from forkpoint.compare import diff, parse_tolerance
    from forkpoint.store import Recording

    started = time.perf_counter()
    with Recording.open(one) as a, Recording.open(two) as b:
        found = diff(a, b, tolerance=parse_tolerance())
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    unlike = sum(step.verdict != "identical" for step in found.steps)
    print(json.dumps({"seconds": seconds, "peak": peak, "differ": unlike}))


def profile_once(one: Path, two: Path) -> None:
    """Print where the time goes."""
    import cProfile
    import pstats

    with cProfile.Profile() as profile:
        run_once(one, two)
    pstats.Stats(profile).sort_stats("cumulative").print_stats(25)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=100)
    parser.add_argument("--differ", type=float, default=0.01, help="share of steps")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--pair", nargs=2, type=Path, metavar="FOLDER")
    options = parser.parse_args()
    if options.pair:
        (profile_once if options.profile else run_once)(*options.pair)
        return
    with tempfile.TemporaryDirectory() as folder:
        pair = Path(folder) / "a", Path(folder) / "b"
        chosen = random.Random(0).sample(range(options.steps), int(options.steps * options.differ))
        make(pair[0], options.steps, options.events, {})
        make(pair[1], options.steps, options.events, {s: 8 * (s % 11) + 3 for s in chosen})
        report(pair, options.runs)
        if options.profile:
            profile_once(*pair)


def report(pair: tuple[Path, Path], runs: int) -> None:
    """Run in fresh processes and print the table."""
    argv = [sys.executable, __file__, "--pair", *map(str, pair)]
    results = [json.loads(subprocess.check_output(argv)) for _ in range(runs)]
    times = sorted(result["seconds"] for result in results)
    size = sum((folder / "index.sqlite").stat().st_size for folder in pair)
    print(f"index size, both     {size / 1e6:8.0f} MB")
    print(f"steps that differ    {results[0]['differ']:8d}")
    print(f"median               {statistics.median(times):8.2f} s   (at most 10)")
    print(f"all                  {', '.join(f'{t:.2f}' for t in times)} s")
    print(f"peak memory          {max(r['peak'] for r in results) / 1e6:8.0f} MB  (at most 500)")


if __name__ == "__main__":
    main()
