"""Plan, run parts, bundle, uploaders: the whole of a run, knowing protocols and no concrete plugin.

Whatever fails, what was measured before is bundled, stored and shown; the exit code tells.
"""

from codspeed.orchestrate.deliver import upload
from codspeed.orchestrate.run import run, setup
from codspeed.orchestrate.select import harness_plugin

__all__ = ["harness_plugin", "run", "setup", "upload"]
