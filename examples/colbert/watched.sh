# What every comparison here asks of forkpoint compare: put before the arguments that there are.
stage=colbert.indexing.collection_indexer:CollectionIndexer
search=colbert.search
set -- \
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
    --max-storage 3GB --force "$@"
