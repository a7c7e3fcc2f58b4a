"""One small model, in which SIDE=b plants kinds of differences: KIND names them, joined by "+"."""

import os
import sys

import torch

KINDS = os.environ.get("KIND", "").split("+")
PLANTED = os.environ["SIDE"] == "b"


def planted(kind):
    return PLANTED and kind in KINDS


LIBRARY = torch.library.Library("aten", "IMPL")


def plant(kind, name, overload, change):
    """Let an op's own kernel run, and change its result (below everything that watches)."""
    if not planted(kind):
        return
    op = getattr(getattr(torch.ops.aten, name), overload)
    below = torch._C.DispatchKeySet(torch._C.DispatchKey.CPU)

    def moved(*args, **kwargs):
        result = op.redispatch(below, *args, **kwargs)
        change(result, *args)
        return result

    LIBRARY.impl(name if overload == "default" else name + "." + overload, moved, "BackendSelect")


def up(tensor):
    tensor.copy_(torch.nextafter(tensor, torch.full_like(tensor, float("inf"))))


plant("element", "tanh", "default", lambda y, *a: up(y.view(-1)[:1]))
plant("rows", "native_layer_norm", "default", lambda y, *a: up(y[0][::2]))
plant("length", "tanh", "default", lambda y, *a: up(y) if y.shape[0] > 3 else None)
plant("side", "native_layer_norm", "default", lambda y, *a: up(y[2]))
plant("unused", "sinh", "default", lambda y, *a: up(y))
plant("zero", "neg", "default", lambda y, *a: y.copy_(y.abs()))  # of zeros alone: their sign
plant("random", "bernoulli_", "float", lambda y, *a: y.copy_(1 - y))


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(8, 8)
        self.norm = torch.nn.LayerNorm(8, eps=1e-3 if planted("epsilon") else 1e-5)

    def forward(self, x):
        x = torch.tanh(self.first(x))
        x.sinh()  # nobody reads this
        zero = -torch.zeros_like(x)
        x = self.norm(x) + zero.abs()
        if "random" in KINDS or "seed" in KINDS:
            x = x * torch.empty_like(x).bernoulli_(0.5)
        if planted("sequence"):
            x = torch.exp(torch.log(x.abs() + 1)) - 1
        return x


torch.manual_seed(0)
net = Net().eval()
with torch.no_grad():
    if planted("weights"):
        net.first.weight[3, 3] += 0.25
    for step, rows in enumerate((3, 4, 4 if planted("more") else 0)):
        if rows:
            x = torch.randn(rows, 8)
            if planted("inputs"):
                x[1, 1] += 0.5
            torch.manual_seed(7 + (planted("seed") and step == 1))
            net(x)
            if planted("raises"):
                sys.exit("planted")
