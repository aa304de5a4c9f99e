"""Walltime executor: measures how long benchmarks take on this machine."""
