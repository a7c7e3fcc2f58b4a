"""Fuzzing the readers of files that runs wrote.

Whatever a file holds, its comparison ends soon, in little memory, with what was found or with a
typed refusal; a file equals its copy; a file with one other value is never identical.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from forkpoint.artifacts.apart import warm_up
from forkpoint.artifacts.comparer import Context, Refused
from forkpoint.artifacts.tree import OWN
from forkpoint.artifacts.walk import file_at
from forkpoint.compare import PRESETS, worst
from forkpoint.model import Verdict
from forkpoint_worker.limits import memory_limit
from tests.robustness.samples import CHANGED, changed, hostile, mutated, value_of

CONTEXT = Context(tolerance=PRESETS["torch"])
MEMORY = 1 << 30
SECONDS = 60
CHUNK = 200
HOSTILE_EACH = 40
KEPT: tuple[int, ...] = ()
"""Seeds that once found something: they are tried first."""


def verdict_of(folder: Path, name: str, one: bytes, two: bytes) -> Verdict | None:
    """What the reader says of two files; None where it refuses them."""
    files = []
    for side, data in (("a", one), ("b", two)):
        path = folder / side / name
        path.write_bytes(data)
        files.append(file_at(name, path))
    comparers = [next(c for c in OWN if c.recognises(file)) for file in files]
    if comparers[0].kind != comparers[1].kind:
        return Verdict.DIVERGENT
    try:
        found = list(comparers[0].compare(files[0], files[1], CONTEXT))
    except Refused:
        return None
    return worst(part.verdict for part in found) or Verdict.IDENTICAL


def problem(folder: Path, seed: int) -> str:
    """What is wrong with how one input is read, or nothing."""
    rng = Random(seed)
    if seed % HOSTILE_EACH == 0:
        name, data = hostile(rng)
        return told_apart(folder, name, data, data)
    name = rng.choice(list(CHANGED))
    one, two = changed(name, rng)
    if seed % 2:
        found = verdict_of(folder, name, one, two)
        return f"one value of {name} changed: {found}" if found is Verdict.IDENTICAL else ""
    return told_apart(folder, name, one, mutated(rng, one))


def told_apart(folder: Path, name: str, one: bytes, damaged: bytes) -> str:
    """A damaged file against itself, and against the whole one."""
    found = verdict_of(folder, name, damaged, damaged)
    if found not in (None, Verdict.IDENTICAL):
        return f"{name} is {found} beside its copy"
    found = verdict_of(folder, name, one, damaged)
    if found is Verdict.IDENTICAL and one != damaged:
        if name.endswith((".txt", ".bin")):
            return f"{name} is called identical"
        if name.endswith(".json") and value_of(one.decode()) != value_of(damaged.decode()):
            return f"{name} is called identical"
    return ""


def child(seeds: list[int], out: int) -> None:
    """Try the seeds, and tell of each before and after."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warm_up()
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as name:
        for side in "ab":
            (Path(name) / side).mkdir()
        for seed in seeds:
            os.write(out, b"%d\n" % seed)
            signal.alarm(SECONDS)
            started = time.monotonic()
            try:
                with memory_limit(MEMORY):
                    wrong = problem(Path(name), seed)
            except MemoryError:
                wrong = "over memory"
            except Exception as error:  # noqa: BLE001 - what is raised is the finding
                wrong = f"{type(error).__name__}: {str(error)[:200]}"
            signal.alarm(0)
            took = time.monotonic() - started
            os.write(out, json.dumps({"seed": seed, "wrong": wrong, "took": took}).encode() + b"\n")


def tried(seeds: list[int]) -> Iterator[tuple[int, str]]:
    """Each seed with what is wrong with it; also where the process died over it, or hung."""
    while seeds:
        reading, writing = os.pipe()
        pid = os.fork()
        if not pid:
            try:
                nowhere = os.open(os.devnull, os.O_RDWR)
                os.dup2(nowhere, 1)
                os.dup2(nowhere, 2)
                child(seeds, writing)
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as stream:
            lines = stream.read().splitlines()
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        answers = [json.loads(line) for line in lines if line.startswith(b"{")]
        yield from ((answer["seed"], answer["wrong"]) for answer in answers)
        seeds = seeds[len(answers) :]
        if seeds and status:
            name = signal.Signals(-status).name if status < 0 else f"exit {status}"
            yield seeds[0], "hang" if name == "SIGALRM" else f"died: {name}"
            seeds = seeds[1:]


@pytest.mark.timeout(0)
def test_readers_refuse_or_compare_and_never_lie(fuzz_inputs: int) -> None:
    seeds = [*KEPT, *range(fuzz_inputs)]
    found: dict[int, str] = {}
    counts: Counter[str] = Counter()
    for start in range(0, len(seeds), CHUNK):
        for seed, wrong in tried(seeds[start : start + CHUNK]):
            counts["inputs"] += 1
            if wrong:
                found[seed] = wrong
                counts[wrong.partition(":")[0]] += 1
                print(f"seed {seed}: {wrong}", flush=True)
    print(dict(counts))
    assert not found, f"{len(found)} of {counts['inputs']} inputs: {dict(list(found.items())[:9])}"
