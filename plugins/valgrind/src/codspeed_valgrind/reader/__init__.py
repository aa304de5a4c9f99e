"""Read what callgrind wrote: totals at once, call trees on demand."""
