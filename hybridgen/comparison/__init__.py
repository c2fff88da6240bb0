"""Runs side by side: what was changed, what came of it, and which figures may be compared at all."""
