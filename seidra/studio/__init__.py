"""The studio: the page that a person opens."""
