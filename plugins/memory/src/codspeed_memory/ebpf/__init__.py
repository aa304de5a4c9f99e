"""The backend of uprobes: which functions, where, with which programs, and what they report."""
