"""Run folders mirrored to MLflow, by a process of its own."""
