"""Run `train` and `cv`: from options to a folder that holds weights, predictions, metrics and a report; and clusters."""
