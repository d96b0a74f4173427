"""Measures the library beside its peers; see `python -m benchmarks --help`."""
