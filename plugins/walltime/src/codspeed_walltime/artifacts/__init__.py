"""The files beside the results that the reference's service reads (spec/executors.md 3.5-3.12)."""
