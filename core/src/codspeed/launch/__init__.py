"""Run a child: environment, privileges, isolation, locks, process group."""
