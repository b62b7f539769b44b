"""Makers of tests/golden, one module a row: each has make()."""
