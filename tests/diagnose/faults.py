"""Faults that are planted below every observer by FORKPOINT_FAULT: names, joined by "+".

A fault overrides an ATen kernel through `torch.library` at the key BackendSelect, so it acts
beneath autograd and beneath anything that watches; the op then goes on to its real kernel, and
the result is moved by one step of its dtype.
"""

import os

import torch

LIBRARY = torch.library.Library("aten", "IMPL")
CALLS = {"count": 0}


def plant(name, overload, when):
    """Make ``aten.name.overload`` give another last bit where ``when`` is true of the arguments."""
    op = getattr(getattr(torch.ops.aten, name), overload)
    below = torch._C.DispatchKeySet(torch._C.DispatchKey.CPU)

    def moved(*args, **kwargs):
        result = op.redispatch(below, *args, **kwargs)
        if not when(*args, **kwargs):
            return result
        first = result[0] if isinstance(result, (list, tuple)) else result
        if first.numel():
            one = first.as_strided((1,), (1,))
            one.copy_(torch.nextafter(one, torch.full_like(one, float("inf"))))
        return result

    LIBRARY.impl(name if overload == "default" else name + "." + overload, moved, "BackendSelect")


def second_call(*_):
    CALLS["count"] += 1
    return CALLS["count"] == 2


FAULTS = {
    "": [],
    "always": [("native_layer_norm", "default", lambda *a: True)],
    "rows": [("native_layer_norm", "default", lambda x, *a: x.shape[0] % 3 == 0)],
    "length": [("_softmax", "default", lambda x, *a: x.shape[-1] >= 6)],
    "value": [("tanh", "default", lambda x: bool((x > 1.5).any()))],
    "dtype": [("tanh", "default", lambda x: x.dtype == torch.float32)],
    "scalar": [("native_layer_norm", "default", lambda x, n, w, b, eps: eps == 1e-5)],
    "strided": [("tanh", "default", lambda x: not x.is_contiguous() or x.shape[0] % 2 == 1)],
    "two": [
        ("tanh", "default", lambda x: True),
        ("native_layer_norm", "default", lambda *a: True),
    ],
    "unused": [("sinh", "default", lambda x: True)],
    "repaired": [("cosh", "default", lambda x: True)],
    "second": [("tanh", "default", second_call)],
    # two sizes together
    "product": [("native_layer_norm", "default", lambda x, *a: x.shape[0] * x.shape[1] % 3 == 0)],
    "many": [("silu", "default", lambda x: x.numel() > 20)],
    "taller": [("mm", "default", lambda a, b: a.shape[0] > b.shape[1])],
    "either": [("gelu", "default", lambda x, **k: x.shape[0] >= 6 or x.shape[1] % 2 == 0)],
    # whole numbers, lists, switches
    "dim": [("_softmax", "default", lambda x, dim, half: dim == 1)],
    "kernel": [("max_pool2d_with_indices", "default", lambda x, k, *a: list(k) == [3, 2])],
    "three": [("_foreach_sigmoid", "default", lambda tensors: len(tensors) == 3)],
    "keep": [("mean", "dim", lambda x, d, keep=False, **k: keep)],
    # memory layout, plain numbers, values
    "gaps": [("exp", "default", lambda x: not x.is_contiguous())],
    "shifted": [("sin", "default", lambda x: x.storage_offset() % 2 == 1)],
    "steep": [("leaky_relu", "default", lambda x, slope=0.01: slope > 0.15)],
    "fused": [("_scaled_dot_product_flash_attention_for_cpu", "default", lambda *a, **k: True)],
    "first": [("cos", "default", lambda x: bool(x.reshape(-1)[0] > 0))],
}
for name in os.environ.get("FORKPOINT_FAULT", "").split("+"):
    for fault in FAULTS[name]:
        plant(*fault)
