"""A step that calls many ops, each on what the step is given, so that none hides another."""

import torch
from torch.nn import functional as fn


class Zoo(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = torch.nn.LayerNorm(8)
        self.weight = torch.nn.Parameter(torch.randn(8, 12))

    def forward(self, x):
        flat = x.reshape(-1, 8)
        return {
            "norm": self.norm(x),
            "mm": flat @ self.weight,
            "silu": fn.silu(x.amax(-1)),
            "gelu": fn.gelu(x.amin(-1)),
            "softmax": torch.softmax(x, 1),
            "pool": fn.max_pool2d(x[:, None].requires_grad_(), (3, 2))[:, 0],
            "cat": torch.cat([x, x + 1, x - 1], -1),
            "each": torch._foreach_sigmoid([x, x + 1, x - 1]),
            "mean": x.mean(1, keepdim=True),
            "exp": torch.exp(x.transpose(1, 2)),
            "sin": torch.sin(x.reshape(-1)[1:]),
            "leaky": fn.leaky_relu(x, 0.2),
            "cos": torch.cos(x),
        }


torch.manual_seed(1)
zoo = Zoo().eval()
with torch.no_grad():
    for batch, length in ((2, 5), (3, 7), (4, 6)):
        zoo(torch.randn(batch, length, 8))
