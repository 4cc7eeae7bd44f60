"""What goes over a user's whole library: facets and tags of personas and media alike."""
