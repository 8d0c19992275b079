"""What the product does: plain async functions, one module per noun. They never commit."""
