"""What an experiment says: YAML and cards read, laid on each other, checked; nothing here imports torch or a part."""
