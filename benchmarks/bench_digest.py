"""How fast a tensor's bits are digested on one core, beside other sums of the same bytes.

    ENV/bin/python benchmarks/bench_digest.py

ENV has torch. The median of several calls, in GB/s (1e9 bytes); `hash_tensor` is torch's own
since 2.9, and is blind to the order of elements.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import statistics
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

import torch

from forkpoint_worker.digest import Digester

SIZES_MB = (1, 4, 16, 64, 256)


def main() -> None:
    args = parse_args()
    torch.set_num_threads(args.threads)
    print(f"torch {torch.__version__}, {args.threads} threads, median of {args.calls} calls, GB/s")
    print("| method | " + " | ".join(f"{size} MB" for size in args.sizes) + " |")
    print("| --- " * (len(args.sizes) + 1) + "|")
    tensors = [torch.randn(size * 1_000_000 // 4) for size in args.sizes]
    for name, method in methods().items():
        rates = [rate(method, tensor, args.calls) for tensor in tensors]
        print(f"| {name} | " + " | ".join(f"{r:.2f}" for r in rates) + " |", flush=True)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--calls", type=int, default=9)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES_MB, help="in MB")
    return parser.parse_args()


def methods() -> dict[str, Callable[[torch.Tensor], Any]]:
    found: dict[str, Callable[[torch.Tensor], Any]] = {
        "forkpoint": Digester().digest,
        "sha256": lambda tensor: hashlib.sha256(memory(tensor)).digest(),
        "blake2b": lambda tensor: hashlib.blake2b(memory(tensor)).digest(),
        "zlib.crc32": lambda tensor: zlib.crc32(memory(tensor)),
    }
    if hasattr(torch, "hash_tensor"):
        found["torch.hash_tensor"] = lambda tensor: torch.hash_tensor(tensor).item()
    return found


def memory(tensor: torch.Tensor) -> ctypes.Array[ctypes.c_char]:
    """The bytes of a contiguous CPU tensor, not copied."""
    size = tensor.numel() * tensor.element_size()
    return (ctypes.c_char * size).from_address(tensor.data_ptr())


def rate(method: Callable[[torch.Tensor], Any], tensor: torch.Tensor, calls: int) -> float:
    method(tensor)
    seconds = []
    for _ in range(calls):
        started = time.perf_counter()
        method(tensor)
        seconds.append(time.perf_counter() - started)
    return tensor.numel() * tensor.element_size() / statistics.median(seconds) / 1e9


if __name__ == "__main__":
    main()
