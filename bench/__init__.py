"""Benchmarks of the request path: `python -m bench`, or `make bench`."""
