"""The settings of torch that change numbers: read at a recorded call, set again for its replay."""

from __future__ import annotations

from typing import Any, Callable, Mapping, Tuple

import torch

from . import settings

Get = Callable[[], Any]
Set = Callable[[Any], object]

_UNKNOWN = (AttributeError, RuntimeError, AssertionError, TypeError, ValueError)
"""What torch raises for a switch that this release, build or machine does not have."""


def capture() -> dict[str, Any]:
    """The numerics state in force, as the protocol's STATE."""
    return {
        "threads": torch.get_num_threads(),
        "interop_threads": torch.get_num_interop_threads(),
        "default_dtype": _name(torch.get_default_dtype()),
        "matmul_precision": torch.get_float32_matmul_precision(),
        "flags": _flags(),
        "inference": torch.is_inference_mode_enabled(),
        "grad": torch.is_grad_enabled(),
    }


def restore(state: Mapping[str, Any]) -> list[str]:
    """Set what differs from ``state``; the names of what cannot be set here.

    ``inference`` and ``grad`` are the caller's to enter, and the number of inter-op threads
    cannot be changed once torch has used them.
    """
    missing = []
    now = capture()
    threads = state.get("threads", 1)
    if type(threads) is not int or not 1 <= threads <= settings.MOST_THREADS:
        return ["threads=%.40s (1 to %d are possible)" % (threads, settings.MOST_THREADS)]
    for name in ("threads", "default_dtype", "matmul_precision"):
        if name in state and state[name] != now[name]:
            missing += _set(name, _GENERAL[name], state[name])
    flags = state.get("flags") or {}
    for name in _SWITCHES:  # in this order: a wide switch before those within it
        if name in flags and flags[name] != now["flags"].get(name):
            missing += _set(name, _SWITCHES[name][1], flags[name])
    return missing + [name for name in flags if name not in _SWITCHES]


def of_gpu(name: str) -> bool:
    """Whether a flag matters to calls on a GPU only."""
    return name.startswith(("cuda.", "cudnn.", "sdpa.cudnn"))


def _set(name: str, switch: Set, value: object) -> list[str]:
    try:
        switch(value)
    except _UNKNOWN as error:
        return ["%s=%s (%s)" % (name, value, str(error).split("\n")[0][:100])]
    return []


def _flags() -> dict[str, bool | int | str]:
    found: dict[str, bool | int | str] = {}
    for name, (get, _) in _SWITCHES.items():
        try:
            value = get()
        except _UNKNOWN:
            continue
        found[name] = value if isinstance(value, (bool, int)) else str(value)
    return found


def _name(dtype: torch.dtype) -> str:
    return str(dtype).rpartition(".")[2]


def _dtype(name: str) -> torch.dtype:
    found = getattr(torch, name)
    if not isinstance(found, torch.dtype):
        raise TypeError("%r is no dtype" % name)
    return found


def _attribute(path: str) -> Tuple[Get, Set]:
    """A switch that is an attribute below ``torch.backends``."""
    whole = "backends." + path
    return (
        lambda: settings.get_attribute(torch, whole),
        lambda value: settings.set_attribute(torch, whole, value),
    )


def _sdp(name: str) -> Tuple[Get, Set]:
    def get() -> object:  # looked up when asked: older releases have no such function
        return getattr(torch.backends.cuda, "%s_sdp_enabled" % name)()

    def put(value: object) -> object:
        return getattr(torch.backends.cuda, "enable_%s_sdp" % name)(value)

    return get, put


def _library(name: str) -> Tuple[Get, Set]:
    """``cublas`` and the like: an enumeration to read, lower-case words to set."""

    def words() -> str:
        return str(getattr(torch.backends.cuda, name)()).rpartition(".")[2].lower()

    def put(value: object) -> object:
        return getattr(torch.backends.cuda, name)(value)

    return words, put


def _flushes_denormals() -> bool:
    """Torch has no question for this switch; a product that is subnormal answers it."""
    small = torch.full((1,), 2.0**-1060, dtype=torch.float64, device="cpu")
    return bool((small * 0.5 == 0).item())


_GENERAL: dict[str, Set] = {
    "threads": torch.set_num_threads,
    "default_dtype": lambda name: torch.set_default_dtype(_dtype(name)),
    "matmul_precision": torch.set_float32_matmul_precision,
}

_SWITCHES: dict[str, Tuple[Get, Set]] = {
    "mkldnn": (torch._C._get_mkldnn_enabled, torch._C._set_mkldnn_enabled),
    "deterministic": (
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
    ),
    "flush_denormal": (_flushes_denormals, torch.set_flush_denormal),
    "cudnn.enabled": _attribute("cudnn.enabled"),
    "cudnn.benchmark": _attribute("cudnn.benchmark"),
    "cudnn.deterministic": _attribute("cudnn.deterministic"),
    "cudnn.allow_tf32": _attribute("cudnn.allow_tf32"),
    "cuda.matmul.allow_tf32": _attribute("cuda.matmul.allow_tf32"),
    "cuda.matmul.reduced_fp16": _attribute("cuda.matmul.allow_fp16_reduced_precision_reduction"),
    "cuda.matmul.reduced_bf16": _attribute("cuda.matmul.allow_bf16_reduced_precision_reduction"),
    "cuda.blas": _library("preferred_blas_library"),
    "cuda.linalg": _library("preferred_linalg_library"),
    "sdpa.flash": _sdp("flash"),
    "sdpa.efficient": _sdp("mem_efficient"),
    "sdpa.math": _sdp("math"),
    "sdpa.cudnn": _sdp("cudnn"),
}
