"""JSON endpoints: the path of a file is the path of its URL. Nothing imports a route file."""
