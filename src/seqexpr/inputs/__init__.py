"""Read what a user gives about genes, by one rule for all commands: windows, proteins, labels, half-life tables."""
