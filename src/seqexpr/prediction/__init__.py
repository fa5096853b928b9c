"""Predicting: records in, rows out, in a stream whose memory does not grow."""
