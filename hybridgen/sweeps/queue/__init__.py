"""Trials in an Optuna storage, and the workers that take them."""
