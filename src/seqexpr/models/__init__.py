"""Hold the networks and their weights: the Perceiver, the flow of word counts, the files that weights are kept in."""
