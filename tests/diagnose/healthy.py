"""The same small model, without a fault of its own."""

import torch


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
