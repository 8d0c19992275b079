"""Real servers without an installation, and `dev`, which runs the whole project on them."""
