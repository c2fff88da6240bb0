"""What everybody stands on: errors, files and locks, processes of one run, the version."""
