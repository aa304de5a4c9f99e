"""What the CodSpeed service can make of the profile in an archive: names of sampled addresses.

It knows the formats from spec/executors.md 3.6 to 3.12 and nothing of what writes them; samples are
read by the perf program. Both make it an oracle.
"""

from __future__ import annotations

import bisect
import json
import struct
import subprocess
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class UploadedProfile:
    """A profile folder, unpacked.

    Attributes:
        folder: Where it is.
        metadata: Content of walltime.metadata.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.metadata: dict[str, Any] = json.loads((folder / "walltime.metadata").read_bytes())
        self._maps: dict[str, list[tuple[int, int, str]]] = {}

    def leaves(self) -> list[str]:
        """Return the function of each sample; empty where the files do not tell."""
        return [self.name(pid, address) for pid, _time, address in self.samples()]

    def samples(self) -> Iterator[tuple[str, int, int]]:
        """Yield process, time (ns) and address of each sample."""
        command = ["perf", "script", "-i", "perf.pipedata", "-F", "pid,time,ip", "-G", "--ns"]
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, errors="replace", check=True
        )
        for line in done.stdout.splitlines():
            pid, time, address = line.split()
            yield pid, int(time.rstrip(":").replace(".", "")), int(address, 16)

    def inside(self) -> float:
        """Return how many percent of the samples lie between a SampleStart and its SampleEnd."""
        times = [(time, kind) for each in self.metadata["markers"] for kind, time in each.items()]
        borders = sorted(time for time, kind in times if kind.startswith("Sample"))
        samples = [time for _pid, time, _address in self.samples()]
        # An odd number of borders lies before what is inside.
        return 100 * sum(bisect.bisect(borders, time) % 2 for time in samples) / len(samples)

    def generated(self, pid: str, name: str) -> list[str]:
        """Return the paths in the unwind data of generated code whose name begins so."""
        entries = self.metadata["mapped_process_unwind_data_by_pid"].get(pid, [])
        found = []
        for entry in entries:
            where = entry["avma_range"]
            if entry["timestamp"] is not None and self.name(pid, where["start"]).startswith(name):
                data = (self.folder / f"{entry['unwind_data_key']}.unwind_data").read_bytes()
                (size,) = struct.unpack_from("<Q", data, 4)
                found.append(data[12 : 12 + size].decode())
        return found

    def name(self, pid: str, address: int) -> str:
        """Return the function at an address of a process; empty if the files do not tell."""
        for entry in self.metadata["mapped_process_unwind_data_by_pid"].get(pid, []):
            where, key = entry["avma_range"], entry["unwind_data_key"]
            if where["start"] <= address < where["end"] and entry["timestamp"] is None:
                loaded = self.metadata["mapped_process_module_symbols"][pid]
                bias = {each["perf_map_key"]: each["load_bias"] for each in loaded}[key]
                return self._in_map(f"{key}.symbols.map", (address - bias) % 2**64)
        return self._in_map(f"perf-{pid}.map", address)

    def _in_map(self, name: str, address: int) -> str:
        if name not in self._maps:
            path = self.folder / name
            text = path.read_text("utf-8", "replace") if path.exists() else ""
            rows = [line.split(" ", 2) for line in text.splitlines()]
            self._maps[name] = sorted((int(a, 16), int(n, 16), word) for a, n, word in rows)
        known = self._maps[name]
        index = bisect.bisect_right(known, (address, 2**64, "")) - 1
        start, size, word = known[index] if index >= 0 else (0, 0, "")
        return word if start <= address < start + size else ""
