"""The folder of a run: its status, its metrics, its weights, and where it came from."""
