"""Run `train` and `cv`: options to a folder of weights, predictions, metrics and a report; and work on clusters."""
