"""Foreign APIs, one module each: where they are, what they answer, what may be asked of them."""
