"""The hook protocol between a run and the integration inside the benchmarked process.

`codec`, `version` and `state` decide and do no I/O; `session` and `client` move the bytes. The
protocol in words: docs/protocol.md.
"""
