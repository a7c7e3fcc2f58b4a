"""Torch settings that are part of an environment, by the names that specs use.

``threads=N``  ``interop_threads=N``  ``tf32=on|off``  ``matmul_precision=highest|high|medium``
``reduced_fp16=on|off``  ``reduced_bf16=on|off``  ``deterministic=on|off``
``cudnn_benchmark=on|off``  ``mkldnn=on|off``  ``sdpa=math|flash|efficient|cudnn``
``flush_denormal=on|off``  ``blas=cublas|cublaslt``  ``device=cpu|cuda``  ``dtype=float32|...``
"""

ON_OFF = ("on", "off")
CHOICES = {
    "threads": None,
    "interop_threads": None,
    "tf32": ON_OFF,
    "matmul_precision": ("highest", "high", "medium"),
    "reduced_fp16": ON_OFF,
    "reduced_bf16": ON_OFF,
    "deterministic": ON_OFF,
    "cudnn_benchmark": ON_OFF,
    "mkldnn": ON_OFF,
    "sdpa": ("math", "flash", "efficient", "cudnn"),
    "flush_denormal": ON_OFF,
    "blas": ("cublas", "cublaslt"),
    "device": ("cpu", "cuda"),
    "dtype": ("float32", "float64", "float16", "bfloat16"),
}
"""Setting names and the values each takes; None stands for a positive integer."""
