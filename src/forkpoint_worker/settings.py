"""Torch settings that are part of an environment, by the names that specs use.

``threads=N``  ``interop_threads=N``  ``tf32=on|off``  ``matmul_precision=highest|high|medium``
``reduced_fp16=on|off``  ``reduced_bf16=on|off``  ``deterministic=on|off``
``cudnn_benchmark=on|off``  ``mkldnn=on|off``  ``sdpa=math|flash|efficient|cudnn|eager``
``flush_denormal=on|off``  ``blas=cublas|cublaslt``  ``device=cpu|cuda``  ``dtype=float32|...``
"""

from __future__ import annotations

import functools
from typing import Any, Callable, Mapping

MOST_THREADS = 1024
"""More threads than that no machine has, and a thousand times as many take minutes to start."""

ON_OFF = ("on", "off")
CHOICES: dict[str, tuple[str, ...] | None] = {
    "threads": None,
    "interop_threads": None,
    "tf32": ON_OFF,
    "matmul_precision": ("highest", "high", "medium"),
    "reduced_fp16": ON_OFF,
    "reduced_bf16": ON_OFF,
    "deterministic": ON_OFF,
    "cudnn_benchmark": ON_OFF,
    "mkldnn": ON_OFF,
    "sdpa": ("math", "flash", "efficient", "cudnn", "eager"),
    "flush_denormal": ON_OFF,
    "blas": ("cublas", "cublaslt"),
    "device": ("cpu", "cuda"),
    "dtype": ("float32", "float64", "float16", "bfloat16"),
}
"""Setting names and the values each takes; None stands for 1 to `MOST_THREADS`."""

Switch = Callable[[Any, str], object]  # torch, which is imported late, and the value


def apply(settings: Mapping[str, str]) -> None:
    """Set what the environment asks for; torch is imported here.

    Raises `ValueError` where this torch release does not have the switch.
    """
    import torch  # noqa: PLC0415 - the host reads CHOICES, and has no torch

    for name, value in settings.items():
        switch = _SWITCHES[name]
        try:
            switch(torch, value)
        except (AttributeError, AssertionError, RuntimeError) as error:
            raise ValueError(
                "setting %s=%s is not possible with torch %s: %s"
                % (name, value, torch.__version__, error)
            ) from error


def _on(value: str) -> bool:
    return value == "on"


def _tf32(torch: Any, value: str) -> None:
    torch.backends.cuda.matmul.allow_tf32 = _on(value)
    torch.backends.cudnn.allow_tf32 = _on(value)


def _sdpa(torch: Any, value: str) -> None:
    if value == "eager":
        from .attention import eager  # noqa: PLC0415 - it imports torch

        torch.nn.functional.scaled_dot_product_attention = eager
        return
    for name in ("flash", "mem_efficient", "math", "cudnn"):
        enable = getattr(torch.backends.cuda, "enable_%s_sdp" % name, None)
        wanted = value == ("efficient" if name == "mem_efficient" else name)
        if enable is not None:
            enable(wanted)
        elif wanted:
            raise AttributeError("it has no %s attention" % value)


def _device(torch: Any, value: str) -> None:
    if value == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("no CUDA device is available")
    torch.set_default_device(value)


def _attribute(path: str, convert: Callable[[str], object]) -> Switch:
    def switch(torch: Any, value: str) -> None:
        set_attribute(torch, path, convert(value))

    return switch


def get_attribute(torch: Any, path: str) -> Any:
    """The value of ``torch.PATH``."""
    return functools.reduce(getattr, path.split("."), torch)


def set_attribute(torch: Any, path: str, value: object) -> None:
    """Set ``torch.PATH``, which must be there: an unknown switch fails, and does not appear."""
    get_attribute(torch, path)
    parents, _, last = path.rpartition(".")
    setattr(get_attribute(torch, parents), last, value)


def _blas(torch: Any, value: str) -> None:
    torch.backends.cuda.preferred_blas_library(value)


_SWITCHES: dict[str, Switch] = {
    "threads": lambda torch, value: torch.set_num_threads(int(value)),
    "interop_threads": lambda torch, value: torch.set_num_interop_threads(int(value)),
    "tf32": _tf32,
    "matmul_precision": lambda torch, value: torch.set_float32_matmul_precision(value),
    "reduced_fp16": _attribute("backends.cuda.matmul.allow_fp16_reduced_precision_reduction", _on),
    "reduced_bf16": _attribute("backends.cuda.matmul.allow_bf16_reduced_precision_reduction", _on),
    "deterministic": lambda torch, value: torch.use_deterministic_algorithms(_on(value)),
    "cudnn_benchmark": _attribute("backends.cudnn.benchmark", _on),
    "mkldnn": lambda torch, value: torch._C._set_mkldnn_enabled(_on(value)),
    "sdpa": _sdpa,
    "flush_denormal": lambda torch, value: torch.set_flush_denormal(_on(value)),
    "blas": _blas,
    "device": _device,
    "dtype": lambda torch, value: torch.set_default_dtype(getattr(torch, value)),
}
