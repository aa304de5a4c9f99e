"""Variables that change from run to run by nature: the one table. Data only, no I/O here.

Sources: GitHub "Variables reference" and the runner's `GitHubContext`; GitLab "Predefined CI/CD
variables reference"; Buildkite "Environment variables"; Jenkins, CircleCI and Azure Pipelines, the
pages of the same kind; systemd.exec(5), environ(7), bash(1) and the XDG specifications for the
desktop.

Not listed are variables that name files or folders which a command writes to or works in
(GITHUB_OUTPUT, GITHUB_ACTION_PATH, CI_PROJECT_DIR, TMPDIR), those that say which shard of a job
this is (CI_NODE_INDEX), and RUNNER_TRACKING_ID, by which GitHub's runner finds processes that were
left behind: their length is the same in every run of a job.
"""

from __future__ import annotations

from typing import Final

import attrs

# What a fixed value looks like; programs that parse it still can.
NUMBER: Final = "1"
COMMIT: Final = "0" * 40
SHORT_COMMIT: Final = "0" * 8
NAME: Final = "still"
REF: Final = "refs/heads/still"
ADDRESS: Final = "https://still.invalid/"
MAIL: Final = "still@still.invalid"
TIME: Final = "2000-01-01T00:00:00Z"
UUID: Final = "00000000-0000-0000-0000-000000000000"


@attrs.frozen
class Group:
    """Volatile variables of one origin.

    Attributes:
        title: For the documentation.
        marker: The variable whose presence shows that names are meant as here; empty where they
            are beyond doubt.
        fixed: Name -> value it gets if it is there.
        dropped: Names that come and go from run to run; `*` at the end stands for any ending.
    """

    title: str
    marker: str
    fixed: dict[str, str]
    dropped: tuple[str, ...]


def _each(value: str, names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), value)


_GITHUB: Final = Group(
    "GitHub Actions (and Gitea, Forgejo)",
    "GITHUB_ACTIONS",
    {
        **_each(NUMBER, "GITHUB_ACTOR_ID GITHUB_RUN_ATTEMPT GITHUB_RUN_ID GITHUB_RUN_NUMBER"),
        **_each(NUMBER, "ImageVersion"),
        **_each(COMMIT, "GITHUB_SHA GITHUB_WORKFLOW_SHA"),
        **_each(REF, "GITHUB_REF GITHUB_WORKFLOW_REF"),
        **_each(
            NAME,
            "GITHUB_ACTION GITHUB_ACTOR GITHUB_BASE_REF GITHUB_EVENT_NAME GITHUB_HEAD_REF"
            " GITHUB_REF_NAME GITHUB_REF_TYPE GITHUB_TRIGGERING_ACTOR RUNNER_NAME",
        ),
        **_each("false", "GITHUB_REF_PROTECTED"),
    },
    (
        "ACTIONS_*", "GH_TOKEN", "GITHUB_ACTION_REF", "GITHUB_ACTION_REPOSITORY",
        "GITHUB_TOKEN", "RUNNER_DEBUG",
    ),
)  # fmt: skip

_GITLAB: Final = Group(
    "GitLab",
    "GITLAB_CI",
    {
        **_each(NUMBER, "CI_CONCURRENT_ID CI_CONCURRENT_PROJECT_ID CI_JOB_ID CI_PIPELINE_ID"),
        **_each(NUMBER, "CI_PIPELINE_IID CI_RUNNER_ID GITLAB_USER_ID"),
        **_each(COMMIT, "CI_COMMIT_SHA CI_COMMIT_BEFORE_SHA"),
        **_each(SHORT_COMMIT, "CI_COMMIT_SHORT_SHA CI_RUNNER_REVISION CI_SERVER_REVISION"),
        **_each(
            NAME,
            "CI_COMMIT_AUTHOR CI_COMMIT_DESCRIPTION CI_COMMIT_MESSAGE CI_COMMIT_REF_NAME"
            " CI_COMMIT_REF_SLUG CI_COMMIT_TITLE CI_PIPELINE_NAME CI_PIPELINE_SOURCE"
            " CI_RUNNER_DESCRIPTION CI_RUNNER_SHORT_TOKEN CI_RUNNER_TAGS CI_RUNNER_VERSION"
            " GITLAB_USER_LOGIN GITLAB_USER_NAME",
        ),
        **_each("false", "CI_COMMIT_REF_PROTECTED"),
        **_each(ADDRESS, "CI_JOB_URL CI_PIPELINE_URL CI_REPOSITORY_URL"),
        **_each(MAIL, "GITLAB_USER_EMAIL"),
        **_each(TIME, "CI_COMMIT_TIMESTAMP CI_JOB_STARTED_AT CI_PIPELINE_CREATED_AT"),
    },
    (
        "CI_BUILD_*", "CI_COMMIT_BRANCH", "CI_COMMIT_MESSAGE_IS_TRUNCATED", "CI_COMMIT_TAG",
        "CI_COMMIT_TAG_MESSAGE", "CI_DEPENDENCY_PROXY_PASSWORD", "CI_DEPLOY_*",
        "CI_ENVIRONMENT_*", "CI_EXTERNAL_PULL_REQUEST_*", "CI_JOB_JWT*", "CI_JOB_TOKEN",
        "CI_MERGE_REQUEST_*", "CI_OPEN_MERGE_REQUESTS", "CI_REGISTRY_PASSWORD",
    ),
)  # fmt: skip

_BUILDKITE: Final = Group(
    "Buildkite",
    "BUILDKITE",
    {
        **_each(NUMBER, "BUILDKITE_AGENT_PID BUILDKITE_BUILD_NUMBER BUILDKITE_RETRY_COUNT"),
        **_each(COMMIT, "BUILDKITE_COMMIT"),
        **_each(UUID, "BUILDKITE_AGENT_ID BUILDKITE_BUILD_ID BUILDKITE_JOB_ID BUILDKITE_STEP_ID"),
        **_each(
            NAME,
            "BUILDKITE_AGENT_NAME BUILDKITE_BRANCH BUILDKITE_BUILD_AUTHOR BUILDKITE_BUILD_CREATOR"
            " BUILDKITE_MESSAGE BUILDKITE_SOURCE BUILDKITE_TAG",
        ),
        **_each(MAIL, "BUILDKITE_BUILD_AUTHOR_EMAIL BUILDKITE_BUILD_CREATOR_EMAIL"),
        **_each(ADDRESS, "BUILDKITE_BUILD_URL"),
        **_each("false", "BUILDKITE_PULL_REQUEST"),
    },
    (
        "BUILDKITE_AGENT_ACCESS_TOKEN", "BUILDKITE_AGENT_META_DATA_*",
        "BUILDKITE_BUILD_CREATOR_TEAMS", "BUILDKITE_ENV_FILE", "BUILDKITE_LAST_HOOK_EXIT_STATUS",
        "BUILDKITE_PULL_REQUEST_*", "BUILDKITE_REBUILT_FROM_*", "BUILDKITE_TRIGGERED_FROM_*",
        "BUILDKITE_UNBLOCKER*",
    ),
)  # fmt: skip

_JENKINS: Final = Group(
    "Jenkins",
    "JENKINS_URL",
    {
        **_each(NUMBER, "BUILD_ID BUILD_NUMBER EXECUTOR_NUMBER"),
        **_each(COMMIT, "GIT_COMMIT GIT_PREVIOUS_COMMIT GIT_PREVIOUS_SUCCESSFUL_COMMIT"),
        **_each(NAME, "BRANCH_NAME BUILD_DISPLAY_NAME BUILD_TAG GIT_BRANCH NODE_NAME"),
        **_each(
            ADDRESS,
            "BUILD_URL RUN_ARTIFACTS_DISPLAY_URL RUN_CHANGES_DISPLAY_URL RUN_DISPLAY_URL"
            " RUN_TESTS_DISPLAY_URL",
        ),
    },
    (
        "CHANGE_*", "HUDSON_COOKIE", "JENKINS_NODE_COOKIE", "JENKINS_SERVER_COOKIE", "TAG_DATE",
        "TAG_NAME", "TAG_TIMESTAMP", "TAG_UNIXTIME",
    ),
)  # fmt: skip

_CIRCLECI: Final = Group(
    "CircleCI",
    "CIRCLECI",
    {
        **_each(NUMBER, "CIRCLE_BUILD_NUM"),
        **_each(COMMIT, "CIRCLE_SHA1"),
        **_each(ADDRESS, "CIRCLE_BUILD_URL"),
        **_each(UUID, "CIRCLE_WORKFLOW_ID CIRCLE_WORKFLOW_JOB_ID CIRCLE_WORKFLOW_WORKSPACE_ID"),
    },
    (
        "CIRCLE_BRANCH", "CIRCLE_OIDC_TOKEN*", "CIRCLE_PR_*", "CIRCLE_PREVIOUS_BUILD_NUM",
        "CIRCLE_PULL_REQUEST*", "CIRCLE_TAG", "CIRCLE_USERNAME",
    ),
)  # fmt: skip

_AZURE: Final = Group(
    "Azure Pipelines",
    "TF_BUILD",
    {
        **_each(NUMBER, "AGENT_ID BUILD_BUILDID BUILD_BUILDNUMBER SYSTEM_JOBATTEMPT"),
        **_each(COMMIT, "BUILD_SOURCEVERSION"),
        **_each(REF, "BUILD_SOURCEBRANCH"),
        **_each(
            NAME,
            "AGENT_NAME BUILD_QUEUEDBY BUILD_REASON BUILD_REQUESTEDFOR BUILD_SOURCEBRANCHNAME"
            " BUILD_SOURCEVERSIONAUTHOR BUILD_SOURCEVERSIONMESSAGE",
        ),
        **_each(MAIL, "BUILD_REQUESTEDFOREMAIL"),
        **_each(UUID, "BUILD_QUEUEDBYID BUILD_REQUESTEDFORID SYSTEM_JOBID"),
    },
    ("BUILD_BUILDURI", "BUILD_TRIGGEREDBY_*", "SYSTEM_ACCESSTOKEN", "SYSTEM_PULLREQUEST_*"),
)

_ANYWHERE: Final = Group(
    "Any CI",
    "",
    {**_each(NAME, "HOSTNAME")},
    (
        "CODSPEED_OAUTH_TOKEN", "CODSPEED_SKIP_UPLOAD", "CODSPEED_TOKEN", "CODSPEED_UPLOAD_URL",
        "PYTEST_CURRENT_TEST", "PYTEST_VERSION",
    ),
)  # fmt: skip

# LC_ALL governs the other LC_ variables and LANG; they only differ in length from user to user.
_DESKTOP: Final = Group(
    "Shell, terminal and desktop",
    "",
    {
        **_each(NUMBER, "SHLVL"),
        **_each("C.UTF-8", "LANG"),
        **_each("xterm-256color", "TERM"),
    },
    (
        "_", "ALACRITTY_*", "COLORTERM", "COLUMNS", "DBUS_SESSION_BUS_ADDRESS",
        "DESKTOP_SESSION", "DESKTOP_STARTUP_ID", "DISPLAY", "GHOSTTY_*", "GIT_ASKPASS",
        "GNOME_*", "GPG_AGENT_INFO", "GPG_TTY",
        "INVOCATION_ID", "ITERM_*", "JOURNAL_STREAM", "KITTY_*", "KONSOLE_*", "LANGUAGE",
        "LC_ADDRESS", "LC_COLLATE", "LC_CTYPE", "LC_IDENTIFICATION", "LC_MEASUREMENT",
        "LC_MESSAGES", "LC_MONETARY", "LC_NAME", "LC_NUMERIC", "LC_PAPER", "LC_TELEPHONE",
        "LC_TERMINAL*", "LC_TIME", "LESSCLOSE", "LESSOPEN", "LINES", "LS_COLORS", "MANAGERPID",
        "OLDPWD", "SESSION_MANAGER", "SSH_AGENT_PID", "SSH_ASKPASS", "SSH_AUTH_SOCK",
        "SSH_CLIENT", "SSH_CONNECTION", "SSH_TTY", "STY", "SUDO_COMMAND", "SYSTEMD_EXEC_PID",
        "TERMINAL_EMULATOR", "TERM_PROGRAM*", "TERM_SESSION_ID", "TMUX", "TMUX_PANE",
        "VSCODE_*", "VTE_VERSION", "WAYLAND_DISPLAY", "WEZTERM_*", "WINDOW", "WINDOWID",
        "WT_PROFILE_ID", "WT_SESSION", "XAUTHORITY", "XDG_ACTIVATION_TOKEN",
        "XDG_CURRENT_DESKTOP", "XDG_MENU_PREFIX", "XDG_SEAT*", "XDG_SESSION_*", "XDG_VTNR",
    ),
)  # fmt: skip

GROUPS: Final = (
    _GITHUB, _GITLAB, _BUILDKITE, _JENKINS, _CIRCLECI, _AZURE, _ANYWHERE, _DESKTOP,
)  # fmt: skip

# Set whether they were there or not: what a program does must depend neither on the user's locale
# and time zone, nor on bytecode that an earlier run left. PYTHONHASHSEED is set in every mode.
ALWAYS: Final = {"LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1", "TZ": "UTC"}
