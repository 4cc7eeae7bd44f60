"""What a user keeps as a whole, across personas and media: the trash, facets, tags."""
