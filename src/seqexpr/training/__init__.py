"""Train a network by a recipe: the loop, its stages, and a state from which a stopped training resumes exactly."""
