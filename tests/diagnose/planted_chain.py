"""Two chained models: an encoder with a norm, and a head that takes what the encoder returned."""

import faults  # noqa: F401 - beside this script, and first: it plants before the models run
import torch


class Encoder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(8, 8)
        self.norm = torch.nn.LayerNorm(8)

    def forward(self, x):
        return self.norm(self.first(x))


class Head(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.last = torch.nn.Linear(8, 4)

    def forward(self, hidden, scale):
        return torch.tanh(self.last(hidden)) * scale


torch.manual_seed(0)
encoder, head = Encoder().eval(), Head().eval()
with torch.no_grad():
    for rows in (3, 4, 6, 7):
        head(encoder(torch.randn(rows, 8)), torch.ones(1))
