"""The contract: what goes over the wire, one file per noun."""
