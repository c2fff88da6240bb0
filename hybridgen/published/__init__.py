"""The published systems: where their weights are, how their names map to ours, how a file is read and checked."""
