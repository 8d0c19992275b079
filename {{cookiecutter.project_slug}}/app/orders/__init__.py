"""Orders: purchases of products."""
