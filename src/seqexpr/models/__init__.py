"""The Perceiver, its presets, and its weights on disk."""
