"""``compare --artifacts`` and ``diff --env`` with two real releases and what a script writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TorchEnv
from tests.support.cli import Ended, forkpoint_cli

pytestmark = pytest.mark.integration

SCRIPT = """
import json, pathlib, struct
import numpy as np
import torch

torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(16, 384), torch.nn.LayerNorm(384))
with torch.no_grad():
    x = model(torch.randn(32, 16))

out = pathlib.Path("out")
(out / "index").mkdir(parents=True)
np.save(out / "emb.npy", x.numpy())
np.save(out / "ids.npy", np.arange(32))

entry = {"dtype": "F32", "shape": list(x.shape), "data_offsets": [0, 4 * x.numel()]}
header = json.dumps({"x": entry}).encode()
content = struct.pack("<Q", len(header)) + header + x.numpy().tobytes()
(out / "emb.safetensors").write_bytes(content)

torch.save({"emb": x, "half": x.half(), "step": 3, "release": torch.__version__ + ""}, out / "e.pt")
torch.save(model.state_dict(), out / "weights.pt")
model.release = str(torch.__version__)
torch.save(model, out / "code.pt")
# scores that hang on the last bits: some documents change places
scores = x[:, :5].contiguous().view(torch.int32).long() * 2654435761 % 2**32
with open(out / "last.run", "w") as stream:
    for query, row in enumerate(scores.tolist()):
        for score, document in sorted(((s, d) for d, s in enumerate(row)), reverse=True):
            stream.write(f"q{query} Q0 d{document} 1 {score!r} t\\n")
with open(out / "qrels.txt", "w") as stream:
    stream.writelines(f"q{query} 0 d{query % 5} 1\\n" for query in range(32))
with open(out / "scores.jsonl", "w") as stream:
    for number, row in enumerate(x.sum(1).tolist()):
        stream.write(json.dumps({"id": number, "score": row}) + "\\n")

# an index as colbert-ai lays it out
codes = torch.arange(32, dtype=torch.int32) % 4
residuals = torch.zeros(32, 192, dtype=torch.uint8)
residuals[:, :16] = (x[:, :16].view(torch.int32) & 255).to(torch.uint8)
lists = torch.cat([torch.arange(k, 32, 4) // 8 for k in range(4)])
parts = {
    "centroids": x[:4].half(), "avg_residual": x.std(), "0.codes": codes, "0.residuals": residuals,
    "buckets": (torch.arange(15.0), torch.arange(16.0)),
    "ivf.pid": (lists, torch.full((4,), 8)),
}
for name, tensor in parts.items():
    torch.save(tensor, out / "index" / (name + ".pt"))
(out / "index" / "doclens.0.json").write_text("[8, 8, 8, 8]")
(out / "index" / "metadata.json").write_text(json.dumps({"config": torch.__version__}))
"""


@pytest.fixture(scope="module")
def results(torch_env: TorchEnv, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ended]:
    """The folder with what both releases wrote, and how the comparison ended."""
    folder = tmp_path_factory.mktemp("artifacts")
    (folder / "write.py").write_text(SCRIPT)
    old, new = (torch_env(version).python for version in ("2.9.1", "2.10.0"))
    words = ["compare", "--env", f"old=python={old}", "--env", f"new=python={new}"]
    words += ["--artifacts", "out", "--qrels", "out/qrels.txt", "--out", "res"]
    words += ["--format", "json", "--only", "sufficiency", "write.py"]
    return folder, forkpoint_cli(*words, cwd=folder)


def by_path(artifacts: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(one["path"], one["part"]): one for one in artifacts}


def test_every_format_is_measured(results: tuple[Path, Ended]) -> None:
    folder, ended = results
    assert ended.status == 1, ended.err
    found = by_path(json.loads(ended.out)["artifacts"])
    largest = found["out/emb.npy", ""]["metrics"]["max_abs"]
    assert 0 < largest < 1e-5
    for place in (("out/emb.safetensors", "x"), ("out/e.pt", "emb")):
        assert found[place]["metrics"]["max_abs"] == largest
        assert found[place]["verdict"] == "within_tolerance"
    assert found["out/ids.npy", ""]["verdict"] == "identical"
    assert found["out/scores.jsonl", ""]["kind"] == "jsonl"
    assert found["out/scores.jsonl", ""]["verdict"] != "identical"
    values = found["out/e.pt", "values outside of tensors"]
    assert values["where"][0].startswith(".release: '2.9.1")
    assert not (folder / "out").exists()


def test_rankings_are_measured_by_the_judgements_that_the_script_wrote(
    results: tuple[Path, Ended],
) -> None:
    found = by_path(json.loads(results[1].out)["artifacts"])
    assert found["out/qrels.txt", ""]["verdict"] == "identical"
    ranking = found["out/last.run", ""]
    assert (ranking["kind"], ranking["verdict"]) == ("ranking", "divergent")
    assert 0 < ranking["ranking"]["same_order"] < ranking["ranking"]["queries"] == 32
    quality = {one["measure"]: one for one in ranking["ranking"]["quality"]}
    assert quality.keys() == {"R@10", "RR@10", "nDCG@10"}
    assert quality["R@10"]["baseline"] == quality["R@10"]["candidate"] == 1.0
    assert quality["RR@10"]["better"] + quality["RR@10"]["worse"] > 0


def test_runs_of_the_diagnosis_find_nothing_there_either(results: tuple[Path, Ended]) -> None:
    experiments = {one["name"]: one for one in json.loads(results[1].out)["experiments"]}
    assert experiments["sufficiency"]["outcome"] == "supported", experiments["sufficiency"]


def test_other_bytes_of_a_file_are_no_difference(results: tuple[Path, Ended]) -> None:
    found = by_path(json.loads(results[1].out)["artifacts"])
    assert found["out/weights.pt", ""]["verdict"] == "identical"


def test_a_module_is_code_and_is_not_compared(results: tuple[Path, Ended]) -> None:
    found = by_path(json.loads(results[1].out)["artifacts"])
    code = found["out/code.pt", ""]
    assert code["verdict"] == "not_comparable"
    assert "more than tensors" in code["summary"]


def test_the_index_is_one_artifact(results: tuple[Path, Ended]) -> None:
    found = by_path(json.loads(results[1].out)["artifacts"])
    index = {part: one for (path, part), one in found.items() if path == "out/index"}
    assert index[""]["kind"] == "colbert"
    assert index["residuals"]["verdict"] == "divergent"
    assert "codes" not in index
    assert "metadata" not in index
    assert not any(path.startswith("out/index/") for path, _ in found)


def test_diff_reads_torch_files_where_it_is_told_to(
    results: tuple[Path, Ended], torch_env: TorchEnv
) -> None:
    kept = results[0] / "res" / "artifacts"
    words = ["diff", kept / "old", kept / "new", "--format", "json", "-q"]
    words += ["--qrels", kept / "old" / "out" / "qrels.txt"]
    without = by_path(json.loads(forkpoint_cli(*words, cwd=results[0]).out)["artifacts"])
    assert without["out/e.pt", ""]["verdict"] == "not_comparable"
    assert "--env" in without["out/e.pt", ""]["summary"]
    old, new = (f"python={torch_env(version).python}" for version in ("2.9.1", "2.10.0"))
    only_old = forkpoint_cli(*words, "--env", old, cwd=results[0])
    refused = by_path(json.loads(only_old.out)["artifacts"])["out/e.pt", ""]
    assert "2.9.1" in refused["summary"]
    assert "known holes" in refused["summary"]
    both = forkpoint_cli(*words, "--env", old, "--env", new, cwd=results[0])
    assert both.status == 1, both.err
    whole = json.loads(results[1].out)["artifacts"]
    assert json.loads(both.out)["artifacts"] == whole
