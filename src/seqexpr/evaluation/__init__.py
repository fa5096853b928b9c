"""Judge predictions: folds, metrics with intervals, baselines on the same folds, overlap of genes, the report."""
