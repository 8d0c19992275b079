"""Posts: articles with tags."""
