"""Real servers under kills, contention and load: what `make soak` runs."""
