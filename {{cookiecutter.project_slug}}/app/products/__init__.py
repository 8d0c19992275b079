"""Products: things that are for sale."""
