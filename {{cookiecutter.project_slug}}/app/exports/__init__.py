"""Exports: a user's data as CSV files, built by a job."""
