"""The platform below a SaaS product on FastAPI. Each subpackage exports its public names in `__all__`."""
