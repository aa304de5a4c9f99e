"""Local store of results, and their comparison."""
