"""Two releases, two indexes: what an upgrade does to rankings, as operators upgrade.

``python cross.py forkpoint-results`` compares each ``run.trec`` that ``colbert.sh`` and
``cross.sh`` left there with the one of the old release, on both sides. "old index, new search" is
what operators have after an upgrade without a new index.
"""

from __future__ import annotations

import sys
from pathlib import Path

DEPTH = 10
RUNS = {
    "old index, old search": "colbert/artifacts/old/out",
    "new index, old search": "cross/artifacts/old/out",
    "old index, new search": "cross/artifacts/new/out",
    "new index, new search": "colbert/artifacts/new/out",
}


def main(results: Path) -> None:
    folders = {name: results / path for name, path in RUNS.items()}
    baseline = next(iter(folders.values()))
    relevant = read_pairs(baseline / "qrels.trec")
    first = read_run(baseline / "run.trec")
    print(f"{'':22}{'queries':>9}{'same set':>10}{'same order':>12}{'same first':>12}", end="")
    print(f"{'ids shared':>12}{'Recall@10':>11}{'MRR@10':>8}")
    for name, folder in folders.items():
        run = read_run(folder / "run.trec")
        pairs = [(first[query], run[query]) for query in first]
        same = sum(set(a) == set(b) for a, b in pairs)
        order = sum(a == b for a, b in pairs)
        top = sum(a[:1] == b[:1] for a, b in pairs)
        shared = sum(len(set(a) & set(b)) for a, b in pairs) / len(pairs)
        recall, rank = judged(run, relevant)
        print(f"{name:22}{len(pairs):9}{same:10}{order:12}{top:12}", end="")
        print(f"{shared:12.2f}{recall:11.4f}{rank:8.4f}")


def read_run(path: Path) -> dict[str, list[str]]:
    """Document ids of each query, best first."""
    found: dict[str, list[tuple[int, str]]] = {}
    for line in path.read_text().splitlines():
        query, _, document, rank, _, _ = line.split()
        found.setdefault(query, []).append((int(rank), document))
    return {query: [document for _, document in sorted(rows)] for query, rows in found.items()}


def read_pairs(path: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for line in path.read_text().splitlines():
        query, _, document, _ = line.split()
        found.setdefault(query, set()).add(document)
    return found


def judged(run: dict[str, list[str]], relevant: dict[str, set[str]]) -> tuple[float, float]:
    """Means of Recall@10 and of the reciprocal rank of the first relevant document."""
    recall = ranks = 0.0
    for query, documents in run.items():
        hits = [document in relevant[query] for document in documents[:DEPTH]]
        recall += sum(hits) / len(relevant[query])
        ranks += 1 / (hits.index(True) + 1) if any(hits) else 0.0
    return recall / len(run), ranks / len(run)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
