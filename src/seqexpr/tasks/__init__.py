"""Define the tasks of the paper, and build the dataset of each from its public sources; make synthetic ones."""
