"""Counts, in the text format that Prometheus reads. It holds numbers and names, and no token."""
