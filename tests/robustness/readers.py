"""The readers under attack: each makes an input of its own kind, changed by a seed, and reads it.

A reader returns where it took the input, raises a `ForkpointError` where it refused it, and
anything else it does is a fault. `share` is its part of the inputs of a long run.
"""

from __future__ import annotations

import ast
import io
import json
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
from rich.console import Console
from safetensors.numpy import save_file

from forkpoint import api
from forkpoint.environments import load_config, parse_requirement, parse_size, parse_spec
from forkpoint.errors import UsageError
from forkpoint.host import Replayed, is_recording
from forkpoint.host._answers import read_answers
from forkpoint.host._result import read_answer, read_last_event
from forkpoint.model import Comparison
from forkpoint.report import read_comparison, render_comparison, to_json, to_markdown
from forkpoint.repro import Told, write_folder
from forkpoint.store import Recording, read_call, read_capsule
from tests.report import examples
from tests.robustness.mutate import TEXTS, changed_bytes, changed_index, changed_json
from tests.support.recordings import RecordingBuilder

Read = Callable[[Path, random.Random], None]


@dataclass(frozen=True)
class Reader:
    """A kind of input: `read` makes one in a fresh folder and reads it."""

    name: str
    share: int
    read: Read


@cache
def _recording() -> dict[str, bytes]:
    """The files of one small recording with a bit of everything."""
    folder = _seeds() / "recording"
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    with RecordingBuilder(folder) as rec:
        for _ in range(2):
            with rec.step(inputs={"x": x}, plain="mode='eval'") as step:
                rec.weights(step.number, {"weight": x.T.copy()})
                event = step.op("aten.mm.default", inputs=[x, x.T], outputs=[x * 2], module="a")
                rec.metric(event, 0, 1, msgspec.to_builtins(examples.metrics()))
                step.module("a", {"": x * 2}, keep=True)
                step.root({"out": x * 2}, keep=True)
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@cache
def _seeds() -> Path:
    import tempfile

    return Path(tempfile.mkdtemp(prefix="fuzz-seeds-"))


def _lay(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def recording(folder: Path, rng: random.Random) -> None:
    files = _recording()
    changed, whole = _lay(folder / "a", files), _lay(folder / "b", files)
    name = rng.choice(("index.sqlite", "index.sqlite", "index.sqlite", *files))
    if name == "index.sqlite":
        changed_index(changed / name, rng)
    else:
        change = changed_json if name.endswith(".json") else changed_bytes
        (changed / name).write_bytes(change(files[name], rng))
    is_recording(changed)
    with Recording.open(changed) as opened:
        opened.uncovered()
        for step in opened.steps()[:50]:
            for event in opened.events(step.id)[:100]:
                opened.metric(event.id, 0)
                for value in opened.values(event.id):
                    if opened.stored(value.tensor.id):
                        opened.load(value.tensor.id)
    to_json(api.diff(*rng.choice(((changed, whole), (whole, changed)))))


_LAYOUT = {
    "dtype": "float32", "shape": [2, 3], "stride": [3, 1], "offset": 0, "storage": 0,
    "alignment": 0, "device": "cpu",
}  # fmt: skip
_CAPSULE = {
    "format": "forkpoint.capsule/1",
    "call": {
        "op": "aten.sum.dim_IntList",
        "schema": "aten::sum.dim_IntList(Tensor self, int[1]? dim, bool keepdim=False, *, "
        "ScalarType? dtype=None) -> Tensor",
        "tensors": [_LAYOUT, dict(_LAYOUT, stride=[0, 1])],
        "storages": [{"bytes": 24, "key": "s"}],
        "args": [{"tensor": 0}, {"list": [{"int": 1}, {"str": "sum"}]}, {"bool": True}],
        "kwargs": {"dtype": {"dtype": "float64"}, "alpha": {"float": "0x1p+0"},
                   "layout": {"layout": "strided"}, "device": {"device": "cpu"},
                   "memory_format": {"memory_format": "contiguous_format"}},
    },
    "state": {"threads": 2, "flags": {"mkldnn": True}}, "fingerprint": {"torch.version": "2.10.0"},
    "random": False, "reason": None,
    "outputs": [{"slot": 0, "dtype": "float32", "shape": [2], "digest": "0" * 16}],
    "source": {"step": 0, "inside": True, "module": "", "call": 0, "event": 1, "signature": ""},
}  # fmt: skip


@cache
def _capsule() -> dict[str, bytes]:
    folder = _seeds() / "capsule"
    folder.mkdir()
    (folder / "capsule.json").write_text(json.dumps(_CAPSULE))
    save_file({"s": np.arange(24, dtype=np.uint8)}, folder / "tensors.safetensors")
    save_file({"0": np.zeros(2, np.float32)}, folder / "outputs.safetensors")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def capsule(folder: Path, rng: random.Random) -> None:
    files = dict(_capsule())
    name = rng.choice(("capsule.json", "capsule.json", "capsule.json", *files))
    change = changed_json if name.endswith(".json") else changed_bytes
    files[name] = change(files[name], rng)
    at = _lay(folder / "capsule", files)
    read = read_capsule(at)
    call = read_call(at)
    for number in range(min(4, len(call.tensors))):
        call.values(number)
    if read.obstacle() is None:
        out = folder / "out"
        out.mkdir()
        names = ["x", "y", *"z" * 300][: len(call.tensors)]
        write_folder(out, call, Told(title=call.op, slots=tuple(read.outputs)), names=names)
        _require_plain((out / "repro.py").read_text(encoding="utf-8"))
        shutil.rmtree(out)
    api.repro(at, out=folder / "repro")
    _require_plain((folder / "repro" / "repro.py").read_text(encoding="utf-8"))


_IMPORTS = {"importlib", "sys", "pathlib", "torch"}
_CALLED = {
    *("tensor", "print", "tuple", "float", "int", "len", "isinstance", "enumerate", "zip"),
    *("bytes", "bytearray", "hasattr", "Path"),
}


def _require_plain(script: str) -> None:
    """Nothing is imported or called in a script but what its template does."""
    tree = ast.parse(script)
    for node in ast.walk(tree):
        names = [one.name for one in getattr(node, "names", ())]
        assert not isinstance(node, ast.Import) or set(names) <= _IMPORTS, names
        assert not isinstance(node, ast.ImportFrom) or node.module == "pathlib"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id in _CALLED, node.func.id
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "importlib.import_module":
            raise AssertionError("a package is imported without --trust")


@cache
def _comparisons() -> tuple[bytes, ...]:
    made: tuple[Comparison, ...] = (
        examples.demo(), examples.diagnosed(), examples.other_inputs(), examples.hostile(),
    )  # fmt: skip
    return tuple(to_json(one) for one in made)


def comparison(folder: Path, rng: random.Random) -> None:
    path = folder / "comparison.json"
    path.write_bytes(changed_json(rng.choice(_comparisons()), rng))
    read = read_comparison(path)
    render_comparison(read, Console(file=io.StringIO(), width=100))
    to_markdown(read)


def results(folder: Path, rng: random.Random) -> None:
    from forkpoint.api._results import Results

    request = {
        "script": "/tmp/encode.py", "module": None, "argv": ["--x"], "cwd": "/tmp",
        "environments": [["old", "torch==2.9.1"], ["new", "torch==2.10.0 threads=1"]],
        "tolerance": {"name": "torch", "limits": {"float32": [1e-5, 1e-6]}, "outputs": {}},
    }  # fmt: skip
    files = {
        "results.json": b'{"format": "forkpoint.results/1"}\n',
        "request.json": json.dumps(request).encode(),
    }
    name = rng.choice((*files, "request.json", "request.json"))
    files[name] = changed_json(files[name], rng)
    opened = Results.open(_lay(folder / "results", files))
    try:
        asked = opened.request()
        for name, text in asked.environments:
            parse_spec(f"{name}={text}")
    finally:
        assert opened._claim is not None
        opened._claim.release()


_TOML = b"""\
with = ["transformers==4.57.6"]
tolerance = "torch"
max-storage = "2GB"
max-cache = 20_000_000_000
timeout = 1.5e3
watch = ["package.module:function"]
[environments]
old = "torch==2.9.1 threads=1 OMP_NUM_THREADS=2"
[environments.new]
requirements = ["torch==2.10.0", "numpy<2 ; python_version < '3.12'"]
python = "3.11"
variables = { MKL_CBWR = "COMPATIBLE" }
settings = { threads = 2, tf32 = false, matmul_precision = "high" }
"""


def toml(folder: Path, rng: random.Random) -> None:
    own = rng.random() < 0.7
    text = _TOML if own else _TOML.replace(b"[environments", b"[tool.forkpoint.environments")
    if not own:
        text = b"[tool.forkpoint]\n" + text
    name = "forkpoint.toml" if own else "pyproject.toml"
    (folder / name).write_bytes(changed_bytes(text, rng))
    found = load_config(folder)
    for spec in found.environments.values():
        parse_spec(f"{spec.name}={spec.text}")
        for requirement in spec.requirements:
            _require_line(requirement)


def specs(folder: Path, rng: random.Random) -> None:
    words = (
        *("old=torch==2.9.1", "python=3.11", "threads=2", "OMP_NUM_THREADS=1", "numpy>=1.26,<2"),
        *("tf32=off", "x @ https://host/x-1.0.whl", "torch[opt]; sys_platform=='linux'"),
    )
    text = " ".join(rng.sample(words, rng.randrange(1, len(words))))
    data = changed_bytes(text.encode(), rng)
    text = data.decode(errors="surrogateescape")
    if rng.random() < 0.3:
        parse_size(text if rng.random() < 0.5 else rng.choice(TEXTS))
        return
    with suppress(UsageError):
        _require_line(parse_requirement(text, base=folder))
    for requirement in parse_spec(text, base=folder).requirements:
        _require_line(requirement)


def _require_line(requirement: str) -> None:
    assert len(f"{requirement}x".splitlines()) == 1, requirement
    assert not requirement.lstrip().startswith("-"), requirement


_RESULT = {
    "protocol": 1, "status": "raised", "exit_code": 1, "steps": 3, "seconds": 1.5,
    "error": {"type": "ValueError", "message": "x", "traceback": "y"}, "peak_rss": 10**8,
    "storage_full": False, "refused": 0, "fingerprint": {"torch": "2.10.0"},
}  # fmt: skip
_ANSWER = {
    "id": "a", "status": "ran", "reason": None, "repeatable": True, "seconds": 0.1, "kernels": [],
    "outputs": [{"slot": 0, "dtype": "float32", "shape": [2], "digest": "0" * 16,
                 "metrics": [{"max_abs": 0.0, "max_ulp": 0}], "rows": ["0" * 16]}],
}  # fmt: skip


def answers(folder: Path, rng: random.Random) -> None:
    kind = rng.randrange(3)
    if kind == 0:
        (folder / "result.json").write_bytes(changed_json(json.dumps(_RESULT).encode(), rng))
        read_answer(folder / "result.json")
    elif kind == 1:
        line = changed_json(json.dumps(_ANSWER).encode(), rng)
        (folder / "replayed.jsonl").write_bytes(line + b"\n" + line)
        read_answers(folder / "replayed.jsonl", {"a"}, Replayed)
    else:
        data = changed_bytes(b"3\tencoder.layer.0\taten.mm.default\0".ljust(1024, b"\0"), rng)
        (folder / "last_event").write_bytes(data)
        read_last_event(folder / "last_event")


READERS = {
    one.name: one
    for one in (
        Reader("recording", 3, recording),
        Reader("capsule", 7, capsule),
        Reader("comparison", 5, comparison),
        Reader("results", 15, results),
        Reader("toml", 25, toml),
        Reader("specs", 25, specs),
        Reader("answers", 20, answers),
    )
}
