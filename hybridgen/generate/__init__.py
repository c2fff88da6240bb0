"""A trained model asked for samples, and samples written to files."""
