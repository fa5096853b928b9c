"""Stream records through models, in batches, in order, on any device, and write what they predict."""
