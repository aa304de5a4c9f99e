"""Which of the parallel jobs of a GitHub workflow this is: the run part's id and labels.

No I/O here. Source: spec/cli-upload.md 3.2.3. The ids are compared byte for byte by the service,
so their order of keys, odd as it is, is contract.
"""

from __future__ import annotations

from typing import Any

import attrs

from codspeed.environment import compact


@attrs.frozen
class JobPart:
    """One of the parallel jobs.

    Attributes:
        id: Without the suffix that an uploader may add.
        metadata: JSON text of an object, sorted by key.
    """

    id: str
    metadata: str


def job_part(job: str, matrix: str | None, strategy: str | None) -> JobPart:
    """Return the run part of a job.

    Args:
        job: The job's id in the workflow file.
        matrix: JSON text of the `matrix` context; None or "null" outside of a matrix.
        strategy: JSON text of the `strategy` context.
    """
    labels, place = _object(matrix), _object(strategy)
    if labels is None or place is None:
        return JobPart(job, "{}")
    place = swap_removed(swap_removed(place, "fail-fast"), "max-parallel")
    merged = labels | place
    metadata = {key: merged[key] for key in sorted(merged)}
    return JobPart(f"{job}-{compact.dump(labels)}-{compact.dump(place)}", compact.dump(metadata))


def swap_removed(entries: dict[str, Any], key: str) -> dict[str, Any]:
    """Return `entries` without `key`, whose place the last entry takes (Rust's `swap_remove`)."""
    if key not in entries:
        return dict(entries)
    items = list(entries.items())
    index = list(entries).index(key)
    last = items.pop()
    if index < len(items):
        items[index] = last
    return dict(items)


def _object(text: str | None) -> dict[str, Any] | None:
    """Return a JSON object; None for anything else, as in the reference."""
    if text is None:
        return None
    try:
        value = compact.parse(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
