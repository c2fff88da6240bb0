"""Many runs of one experiment: what they would train, who runs them, what they say together."""
