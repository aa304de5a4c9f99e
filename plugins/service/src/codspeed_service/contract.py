"""The constants of the service's contract, all in one place. No I/O here.

Source: spec/cli-upload.md 4 and 5, read from the reference runner of `RUNNER_VERSION`.
"""

from __future__ import annotations

from typing import Final

# Who we say we are upstream: the program whose contract we speak, not our own version.
RUNNER_NAME: Final = "codspeed-runner"
RUNNER_VERSION: Final = "5.0.2"
USER_AGENT: Final = RUNNER_NAME

# History: 7 runner 4.5; 8 allowEmpty; 9 localData; 10 cpuFlags.
METADATA_VERSION: Final = 10

SITE_URL: Final = "https://codspeed.io"
UPLOAD_URL: Final = "https://api.codspeed.io/upload"
API_URL: Final = "https://gql.codspeed.io/"
OIDC_AUDIENCE: Final = "codspeed.io"

# The executors that the service can read; in the order of its tables.
EXECUTORS: Final = ("valgrind", "walltime", "memory")

# Provider of the environment -> `runEnvironment`; whatever is not here counts as local.
RUN_ENVIRONMENTS: Final = {
    "github-actions": "GITHUB_ACTIONS",
    "gitlab-ci": "GITLAB_CI",
    "buildkite": "BUILDKITE",
}
LOCAL: Final = "LOCAL"

# Stands for the commit where there is none (3.5), and the project such runs go to.
PLACEHOLDER_COMMIT: Final = "a" * 40
LOCAL_PROJECT: Final = "local-runs"

# Folders at least this large are compressed whatever their executor says (4.1).
LARGE_FOLDER_BYTES: Final = 5 * 1024**3
