"""Harness that measures plain commands as benchmarks."""
