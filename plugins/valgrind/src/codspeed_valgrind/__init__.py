"""Simulation mode on Valgrind."""
