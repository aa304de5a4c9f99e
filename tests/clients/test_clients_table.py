"""docs/clients.md is what the last run of the whole matrix noted, and nothing else.

CODSPEED_CLIENTS=all CODSPEED_CELLS=tests/clients/cells.json pytest tests/clients renews the notes,
CODSPEED_CLIENTS_TABLE=write pytest tests/clients/test_clients_table.py the page.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
PAGE: Final = HERE.parents[1] / "docs" / "clients.md"
MODES: Final = ("walltime", "simulation", "memory")
TEMPLATE: Final = HERE / "clients.md.in"


def test_the_page_is_what_the_notes_say() -> None:
    page = rendered(json.loads((HERE / "cells.json").read_text("utf-8")))
    if os.environ.get("CODSPEED_CLIENTS_TABLE") == "write":
        PAGE.write_text(page, "utf-8")

    assert PAGE.read_text("utf-8") == page


def test_every_claim_is_made_by_a_test() -> None:
    """A client that is noted, but that no test here speaks of any more, must go."""
    sources = "".join(path.read_text("utf-8") for path in HERE.glob("test_clients_*.py"))
    notes = json.loads((HERE / "cells.json").read_text("utf-8"))
    unknown = [client for client in notes if client.split()[0].split("/")[-1] not in sources]

    assert unknown == []


def rendered(notes: dict[str, dict[str, str]]) -> str:
    rows = [
        f"| {client} | {' | '.join(noted.get(mode, '-') for mode in MODES)} |"
        for client, noted in sorted(notes.items())
    ]
    table = ("| client | " + " | ".join(MODES) + " |", "|---" * (len(MODES) + 1) + "|", *rows)
    return TEMPLATE.read_text("utf-8").replace("{table}", "\n".join(table))
