"""Count words: the code under test of the demo."""

from __future__ import annotations


def words(text: str) -> list[str]:
    """Split a text into lower-case words, without punctuation."""
    return [word for part in text.lower().split() if (word := part.strip(".,;:!?"))]


def most_common(text: str, limit: int) -> list[tuple[str, int]]:
    """Return the most frequent words with their counts; equal counts in alphabetical order."""
    found = words(text)
    counts = [(word, found.count(word)) for word in set(found)]
    return sorted(counts, key=lambda entry: (-entry[1], entry[0]))[:limit]
