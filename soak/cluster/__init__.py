"""Several machines for real: what `make soak-cluster` runs."""
