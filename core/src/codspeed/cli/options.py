"""The options that belong to core, and how those of plugins join them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from codspeed.cli.contract import Option
from codspeed.cli.scan import FLAG, LIST, Rule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codspeed.model import OptionSpec
    from codspeed.registry import Plugin, Registry

# Accepted before and after the verb.
GLOBAL: Final = (
    Option(Rule("config", parse="path"), "Project configuration instead of searching one.", "FILE"),
    Option(
        Rule("config_name", env="CODSPEED_CONFIG_NAME"),
        "User configuration to use; profiles are the newer way.",
        "NAME",
    ),
    Option(Rule("profile", env="CODSPEED_PROFILE"), "Profile of the user configuration.", "NAME"),
    Option(
        Rule("setup_cache_dir", env="CODSPEED_SETUP_CACHE_DIR", parse="folder"),
        "Where installers keep downloads.",
        "DIR",
    ),
    Option(
        Rule("executor", style=LIST), "Executors to measure with, by plugin name.", "NAME,...", ()
    ),
)

MODE: Final = Option(
    Rule("mode", style=LIST, short="m", env="CODSPEED_RUNNER_MODE"),
    "Modes to measure in, one after the other.",
    "MODE,...",
    (),
)

UPLOADER: Final = Option(
    Rule("uploader", style=LIST), "Where the results go, instead of the usual; or none.", "NAME,..."
)

RUN: Final = (
    MODE,
    UPLOADER,
    Option(
        Rule("compat", choices=("codspeed", "native")),
        "Measure exactly as the reference does, or as is best here.",
    ),
    Option(
        Rule("variant", style=LIST, parse="pair", split=False),
        "Label that tells otherwise equal benchmarks apart.",
        "KEY=VALUE",
        (),
    ),
    Option(
        Rule("instruments", style=LIST),
        "Instruments that observe beside the usual ones; or none.",
        "NAME,...",
    ),
    Option(
        Rule("environment", choices=("inherit", "strict")),
        "Pass the environment through, or only what is on the allow-list.",
        default="inherit",
    ),
    Option(
        Rule("keep_env", style=LIST),
        "Variables that the command needs as they are.",
        "NAME,...",
        (),
    ),
    Option(
        Rule("jobs", parse="int"),
        "Slices of a suite to measure at once, where the mode allows it.",
        "N",
        1,
    ),
    Option(Rule("working_directory", parse="path"), "Where the command runs.", "DIR"),
    Option(Rule("profile_folder", parse="path"), "Where raw profiles are left.", "DIR"),
    Option(Rule("bundle_dir", parse="folder"), "Where the bundle is written.", "DIR"),
    Option(
        Rule("lock_timeout", parse="seconds"),
        "How long to wait for another run on this machine; 0 does not wait.",
        "TIME",
        600.0,
    ),
    Option(
        Rule("go_runner_version", env="CODSPEED_GO_RUNNER_VERSION", parse="semver"),
        "Version of the go runner.",
        "VERSION",
    ),
    Option(Rule("json", style=FLAG), "Events as JSON on standard output.", default=False),
    Option(Rule("show_full_output", style=FLAG), "Show every line of the command.", default=False),
    Option(Rule("no_store", style=FLAG), "Do not index the bundle.", default=False),
    Option(
        Rule("skip_upload", style=FLAG, env="CODSPEED_SKIP_UPLOAD"),
        "Keep the results here.",
        default=False,
    ),
    Option(Rule("skip_run", style=FLAG), "Use what --profile-folder holds already.", default=False),
    Option(Rule("skip_setup", style=FLAG), "Install no tools.", default=False),
    Option(Rule("allow_empty", style=FLAG), "No benchmark is no error.", default=False),
)

NAME: Final = Option(Rule("name"), "Name of the benchmark instead of its words.", "NAME")

# Fields that no plugin may declare.
RESERVED: Final = frozenset(option.name for option in (*GLOBAL, *RUN, NAME)) | {
    "help",
    "version",
    "origin",
}


def from_spec(name: str, spec: OptionSpec, default: Any, owner: str) -> Option:
    """Return the option that a plugin's field declares."""
    rule = Rule(name, spec.style.value, spec.short, spec.env, spec.choices, spec.parse)
    return Option(
        rule, spec.help, spec.metavar, default, spec.hidden, owner, spec.profile, spec.secret
    )


def of_plugins(registry: Registry, verb: str) -> list[Option]:
    """Return what plugins contribute to a verb.

    Options that name no verb belong to `run` and `exec`; those of a harness, which bound targets,
    to `exec` only.
    """
    return [
        from_spec(name, spec, default, plugin.distribution)
        for name, (spec, default, plugin) in registry.options().items()
        if not spec.is_global and verb in (spec.verbs or _usual_verbs(plugin))
    ]


def global_of_plugins(registry: Registry) -> list[Option]:
    """Return what plugins contribute to every verb."""
    return [
        from_spec(name, spec, default, plugin.distribution)
        for name, (spec, default, plugin) in registry.options().items()
        if spec.is_global
    ]


def _usual_verbs(plugin: Plugin) -> tuple[str, ...]:
    return ("exec",) if plugin.group == "codspeed.harnesses" else ("run", "exec")


def file_keys(registry: Registry) -> Mapping[str, OptionSpec]:
    """Return what plugins accept under `options` of codspeed.yml, by field name."""
    return {name: spec for name, (spec, _, _) in registry.options().items() if spec.in_file}
