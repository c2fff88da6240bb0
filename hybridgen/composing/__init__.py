"""What `config` and `registry` stand on: YAML with places, source read by `ast`, layers merged, values checked."""
