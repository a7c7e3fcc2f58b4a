"""What an environment is made of, as {key: text}; keys sort into groups by their first part."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from typing import Iterable

import torch

from .settings import get_attribute

_VARIABLES = (
    "OMP_", "MKL_", "KMP_", "GOMP_", "OPENBLAS_", "CUDA_", "CUBLAS_", "CUBLASLT_", "CUDNN_",
    "NVIDIA_", "NCCL_", "TORCH_", "PYTORCH_", "ATEN_", "DNNL_", "ONEDNN_", "XLA_", "TF32_",
    "DISABLE_ADDMM_CUDA_LT", "TOKENIZERS_PARALLELISM", "HF_", "TRANSFORMERS_",
)  # fmt: skip
_SECRET = ("TOKEN", "KEY", "SECRET", "PASSWORD")
_FLAGS = (
    "backends.cuda.matmul.allow_tf32",
    "backends.cuda.matmul.allow_fp16_reduced_precision_reduction",
    "backends.cuda.matmul.allow_bf16_reduced_precision_reduction",
    "backends.cuda.matmul.allow_fp16_accumulation",
    "backends.cudnn.allow_tf32",
    "backends.cudnn.benchmark",
    "backends.cudnn.deterministic",
    "backends.cudnn.enabled",
    "backends.mkldnn.enabled",
)
_CALLS = {
    "flags.deterministic_algorithms": "are_deterministic_algorithms_enabled",
    "flags.float32_matmul_precision": "get_float32_matmul_precision",
    "flags.default_dtype": "get_default_dtype",
    "threads.intra": "get_num_threads",
    "threads.inter": "get_num_interop_threads",
    "flags.sdpa_flash": "backends.cuda.flash_sdp_enabled",
    "flags.sdpa_efficient": "backends.cuda.mem_efficient_sdp_enabled",
    "flags.sdpa_math": "backends.cuda.math_sdp_enabled",
    "flags.sdpa_cudnn": "backends.cuda.cudnn_sdp_enabled",
    "cpu.capability": "backends.cpu.get_cpu_capability",
    "torch.openmp": "backends.openmp.is_available",
    "torch.mkl": "backends.mkl.is_available",
    "flags.blas_library": "backends.cuda.preferred_blas_library",
}


def collect(variables: Iterable[str] = ()) -> dict[str, str]:
    """The fingerprint of this process, as it is now.

    ``variables`` are names of environment variables to have in it besides those that are known
    to matter: whoever sets one for an environment wants to know what it does.
    """
    found = {
        "python.version": platform.python_version(),
        "python.implementation": platform.python_implementation(),
        "system.platform": platform.platform(),
        "system.machine": platform.machine(),
        "cpu.model": _cpu_model(),
        "cpu.count": str(os.cpu_count()),
        "torch.version": torch.__version__,
        "torch.git": str(torch.version.git_version),
        "torch.cuda": str(torch.version.cuda),
        "torch.config": " ".join(torch.__config__.show().split()),
    }
    for flag in _FLAGS:
        _put(found, "flags." + flag.replace("backends.", ""), flag, call=False)
    for key, path in _CALLS.items():
        _put(found, key, path, call=True)
    found.update(_cuda())
    found.update(_variables(variables))
    found.update(_packages())
    return found


def attention(modules: Iterable[tuple[str, torch.nn.Module]]) -> dict[str, str]:
    """The attention implementation of transformers models among ``modules``, if they say."""
    found = {}
    for name, module in modules:
        config = getattr(module, "config", None)
        implementation = getattr(config, "_attn_implementation", None)
        if isinstance(implementation, str):
            found["attention." + name] = implementation
    return found


def _put(found: dict[str, str], key: str, path: str, call: bool) -> None:
    try:
        value = get_attribute(torch, path)
        found[key] = str(value() if call else value)
    except (AttributeError, AssertionError, RuntimeError):  # not in this release or build
        return


def _cpu_model() -> str:
    try:
        with open("/proc/cpuinfo") as stream:
            for line in stream:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def _cuda() -> dict[str, str]:
    if not torch.cuda.is_available():
        return {}
    found = {"cuda.cudnn": str(torch.backends.cudnn.version())}
    for i in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(i)
        found["cuda.device%d" % i] = "%s, %d MiB, sm_%d%d" % (
            device.name, device.total_memory >> 20, device.major, device.minor,
        )  # fmt: skip
    try:
        with open("/proc/driver/nvidia/version") as stream:
            found["cuda.driver"] = stream.readline().strip()
    except OSError:
        pass
    return found


def _variables(named: Iterable[str]) -> dict[str, str]:
    wanted = frozenset(named)
    return {
        "variable." + name: value
        for name, value in os.environ.items()
        if (name in wanted or name.startswith(_VARIABLES))
        and not any(word in name.upper() for word in _SECRET)
    }


def _packages() -> dict[str, str]:
    """Installed distributions, without those that a package carries inside of it."""
    found: dict[str, str] = {}
    for distribution in metadata.distributions(path=_without_vendored(sys.path)):
        name = distribution.metadata["Name"]
        if name:
            found.setdefault("package." + name.lower().replace("_", "-"), distribution.version)
    return found


def _without_vendored(path: list[str]) -> list[str]:
    """The entries of a search path that do not lie inside a package of another entry.

    A package that vendors others puts their folder on `sys.path` once it is imported, as
    setuptools does: those are its own, and what is installed is the same with and without them.
    """
    folders = [os.path.realpath(entry or os.curdir) for entry in path]
    return [
        entry
        for entry, folder in zip(path, folders)
        if not any(_inside_package(folder, other) for other in folders)
    ]


def _inside_package(folder: str, entry: str) -> bool:
    start = entry.rstrip(os.sep) + os.sep
    if not folder.startswith(start):
        return False
    package = folder[len(start) :].split(os.sep, 1)[0]
    return os.path.isfile(os.path.join(entry, package, "__init__.py"))
