"""The weather in a city, from a cached upstream."""
