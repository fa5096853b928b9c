"""Predict from word counts and other summaries of a sequence: the composition flow and its fixed inputs."""
