"""An experiment looked over, tried out, and run from its config to its report."""
