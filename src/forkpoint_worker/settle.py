"""Before calls are replayed: functions of Intel's math library are called once, on one number.

The MKL in torch's wheels up to now (2024.2) chooses a kernel for each of its vector functions at
the first call. Where several threads make that call at once, one of them can run a kernel of low
accuracy, some hundred ULP off, for its part of this one call (pytorch issue 188792). A replay
would then differ from what was recorded, though every later one does not.
"""

from __future__ import annotations

import torch

_FUNCTIONS = (
    "acos", "acosh", "asin", "asinh", "atan", "atanh", "cos", "cosh", "erf", "erfc", "erfinv",
    "exp", "expm1", "lgamma", "log", "log10", "log1p", "log2", "rsqrt", "sin", "sinh", "sqrt",
    "tan", "tanh",
)  # fmt: skip


def settle() -> None:
    """Let the library make its choices; one number is too little for more than one thread."""
    for dtype in (torch.float32, torch.float64):
        number = torch.full((1,), 0.5, dtype=dtype, device="cpu")
        for name in _FUNCTIONS:
            function = getattr(torch, name, None)
            if function is not None:
                function(number)
