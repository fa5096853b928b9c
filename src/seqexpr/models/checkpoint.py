"""Keep the names of version 0.1 for programs that import them from here; they live in `seqexpr.models.trained`."""

from seqexpr.models.trained import ModelMetadata, Output, TrainedModel, load_model, read_metadata, save_model

__all__ = ["ModelMetadata", "Output", "TrainedModel", "load_model", "read_metadata", "save_model"]
