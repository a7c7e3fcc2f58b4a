"""A small model, and faults planted below every observer by FORKPOINT_FAULT.

A fault overrides an ATen kernel through `torch.library` at the key BackendSelect, so it acts
beneath autograd and beneath anything that watches; the op then goes on to its real kernel, and
the result is moved by one step of its dtype.
"""

import os

import torch

LIBRARY = torch.library.Library("aten", "IMPL")
CALLS = {"count": 0}


def plant(name, overload, when):
    """Make ``aten.name.overload`` give another last bit wherever ``when(*args)`` is true."""
    op = getattr(getattr(torch.ops.aten, name), overload)
    below = torch._C.DispatchKeySet(torch._C.DispatchKey.CPU)

    def moved(*args, **kwargs):
        result = op.redispatch(below, *args, **kwargs)
        if not when(*args):
            return result
        first = result[0] if isinstance(result, tuple) else result
        flat = first.view(-1)
        flat[:1] = torch.nextafter(flat[:1], torch.full_like(flat[:1], float("inf")))
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
    "two": [
        ("tanh", "default", lambda x: True),
        ("native_layer_norm", "default", lambda *a: True),
    ],
    "unused": [("sinh", "default", lambda x: True)],
    "repaired": [("cosh", "default", lambda x: True)],
    "second": [("tanh", "default", second_call)],
}
for fault in FAULTS[os.environ.get("FORKPOINT_FAULT", "")]:
    plant(*fault)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(8, 8)
        self.norm = torch.nn.LayerNorm(8)

    def forward(self, x):
        x = torch.tanh(self.first(x))
        x.sinh()  # nobody reads this
        x = x + 0 * (torch.cosh(x) > 0)  # equal again, whatever the last bit was
        x = x + torch.softmax(x @ x.t(), -1) @ x
        return torch.tanh(self.norm(x))


torch.manual_seed(0)
net = Net().eval()
with torch.no_grad():
    for rows in (3, 4, 6, 7):
        net(torch.randn(rows, 8))
