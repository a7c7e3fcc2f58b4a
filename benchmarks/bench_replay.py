"""How long 1,000 capsules of MiniLM's size take to replay.

    python benchmarks/bench_replay.py --python bench/bin/python

Records one step of the demo with a capsule for each op signature, and replays these until
there are 1,000 calls, in one process. Wanted: at most 60 s.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from forkpoint.demo import SCRIPT
from forkpoint.environments import EnvironmentCache, build, parse_spec
from forkpoint.host import Call, Job, Workload, replay, run_job

PLAN = {"default": {"level": "op", "capsules": True}, "steps": {}}


def main() -> None:
    """Print one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", required=True, help="an interpreter with the demo's packages")
    parser.add_argument("--calls", type=int, default=1000)
    chosen = parser.parse_args()
    with EnvironmentCache() as cache, tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        environment = build(parse_spec(f"bench=python={chosen.python}"), cache=cache)
        job = Job(
            workload=Workload(script=SCRIPT, cwd=folder),
            recording=folder / "recording",
            plan=PLAN,
            max_storage=1 << 31,
            stop_after=1,
        )
        run_job(environment, job, control=folder / "record").raise_for_failure()
        capsules = sorted((folder / "recording" / "capsules").iterdir())
        calls = [
            replace(Call(id=str(number), capsule=capsule), against=("capsule",))
            for number, capsule in zip(range(chosen.calls), itertools.cycle(capsules), strict=False)
        ]
        started = time.perf_counter()
        found = replay(environment, calls, control=folder / "replay")
        seconds = time.perf_counter() - started
    ran = sum(one.status == "ran" for one in found.values())
    print(f"{len(capsules)} capsules; {ran} of {len(calls)} calls ran in {seconds:.1f} s")


if __name__ == "__main__":
    main()
