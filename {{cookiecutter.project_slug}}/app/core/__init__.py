"""Plumbing without product knowledge."""
