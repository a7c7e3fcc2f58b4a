"""What is measured: ways of running a forward pass under observation. Runs in the environment.

A subject is a context manager: it gets a model and an empty folder, and gives a function that
runs one step on a batch. Peers are used as their own documentation shows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

Batch = dict[str, Any]
RunStep = Callable[[Batch], Any]
Subject = Callable[[Any, Path], AbstractContextManager[RunStep]]


@contextmanager
def plain(model: Any, _folder: Path) -> Iterator[RunStep]:
    yield lambda batch: model(**batch)


@contextmanager
def module_level(model: Any, folder: Path) -> Iterator[RunStep]:
    from forkpoint_worker.session import record_model

    with record_model(model, folder / "recording", level="module", store=()):
        yield lambda batch: model(**batch)


@contextmanager
def op_level(model: Any, folder: Path) -> Iterator[RunStep]:
    from forkpoint_worker.session import record_model

    with record_model(model, folder / "recording", level="op", store=()):
        yield lambda batch: model(**batch)


@contextmanager
def module_hook(model: Any, _folder: Path) -> Iterator[RunStep]:
    """The least that sees every module: a hook that does nothing."""
    from torch.nn.modules.module import register_module_forward_hook

    handle = register_module_forward_hook(lambda *_: None)
    try:
        yield lambda batch: model(**batch)
    finally:
        handle.remove()


@contextmanager
def module_sum(model: Any, _folder: Path) -> Iterator[RunStep]:
    """The least that reads every module's output: one sum each, by torch, and nothing written."""
    import torch
    from torch.nn.modules.module import register_module_forward_hook

    sums: list[Any] = []

    def look(_module: Any, _inputs: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor):
            sums.append(output.sum())

    handle = register_module_forward_hook(look)
    try:
        yield lambda batch: (sums.clear(), model(**batch))[1]
    finally:
        handle.remove()


@contextmanager
def op_mode(model: Any, _folder: Path) -> Iterator[RunStep]:
    """The least that sees every op: a dispatch mode that does nothing."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Nothing(TorchDispatchMode):
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            return func(*args, **(kwargs or {}))

    with Nothing():
        yield lambda batch: model(**batch)


@contextmanager
def op_sum(model: Any, _folder: Path) -> Iterator[RunStep]:
    """The least that reads every op's output: one sum each, views too, and nothing written."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    sums: list[Any] = []

    class Sums(TorchDispatchMode):
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            result = func(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor):
                sums.append(result.sum())
            return result

    with Sums():
        yield lambda batch: (sums.clear(), model(**batch))[1]


@contextmanager
def debug_mode(model: Any, _folder: Path) -> Iterator[RunStep]:
    """torch's DebugMode with its default hashes; one mode a step, so its log stays short."""
    from torch.utils._debug_mode import DebugMode

    def step(batch: Batch) -> Any:
        with DebugMode(), DebugMode.log_tensor_hashes():
            return model(**batch)

    yield step


@contextmanager
def torchlens(model: Any, _folder: Path) -> Iterator[RunStep]:
    import torchlens as tl

    yield lambda batch: tl.trace(model, input_kwargs=batch)


@contextmanager
def msprobe(model: Any, folder: Path) -> Iterator[RunStep]:
    """mindstudio-probe with MD5 sums of every API call's inputs and outputs."""
    from msprobe.pytorch import PrecisionDebugger

    config = folder / "config.json"
    statistics = {"scope": [], "list": [], "data_mode": ["all"], "summary_mode": "md5"}
    values = {
        "task": "statistics",
        "dump_path": str(folder / "dump"),
        "rank": [],
        "step": [],
        "level": "L1",
        "statistics": statistics,
    }
    config.write_text(json.dumps(values), encoding="utf-8")
    debugger = PrecisionDebugger(config_path=str(config))

    def step(batch: Batch) -> Any:
        debugger.start(model=model)
        result = model(**batch)
        debugger.stop()
        debugger.step()
        return result

    yield step


SUBJECTS: dict[str, Subject] = {
    "plain": plain,
    "module": module_level,
    "op": op_level,
    "module-hook": module_hook,
    "module-sum": module_sum,
    "op-mode": op_mode,
    "op-sum": op_sum,
    "debugmode-hash": debug_mode,
    "torchlens": torchlens,
    "msprobe-md5": msprobe,
}
