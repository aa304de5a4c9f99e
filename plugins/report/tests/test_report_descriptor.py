from __future__ import annotations

import subprocess
import sys

from codspeed.model import option_specs
from codspeed_report import descriptor


def test_the_descriptor_loads_nothing_heavy() -> None:
    heavy = "{'click', 'rich', 'sqlite3', 'stevedore', 'cattrs'}"
    code = f"import sys, codspeed_report.descriptor; print({heavy} & set(sys.modules))"

    output = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout

    assert output == b"set()\n"


def test_uploader_and_verbs_share_one_option() -> None:
    options = {
        plugin.options
        for plugin in (descriptor.local, descriptor.compare, descriptor.flame, descriptor.store)
    }

    assert options == {descriptor.StoreOptions}
    assert option_specs(descriptor.StoreOptions)["store"][0].verbs == (
        "run",
        "exec",
        "compare",
        "flame",
        "store",
    )
