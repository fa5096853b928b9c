"""Run `train` and `cv`, from options to a folder with weights, predictions, metrics and a report; and dask clusters."""
