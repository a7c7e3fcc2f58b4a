"""A step that reads a sparse tensor, which no recorder looks into, and which may be another one."""

import os

import torch


class Hidden(torch.nn.Module):
    def __init__(self):
        super().__init__()
        values = torch.randn(4)
        if os.environ.get("FORKPOINT_FAULT"):
            values[0] += 0.5
        places = torch.tensor([[0, 1, 2, 2], [1, 0, 2, 3]])
        self.graph = torch.sparse_coo_tensor(places, values, (3, 4))

    def forward(self, x):
        return torch.relu(torch.sparse.mm(self.graph, x))


torch.manual_seed(0)
hidden = Hidden().eval()
with torch.no_grad():
    for columns in (2, 5):
        hidden(torch.randn(4, columns))
