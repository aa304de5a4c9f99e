"""Each rule of the contract is broken by an executor that breaks nothing else."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import defaultdict
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[2]

pytestmark = [
    pytest.mark.process,
    pytest.mark.timeout(180),  # the whole contract, 45 times
]

EXPECTED = {
    "TestSound": set(),
    "TestHeavyDescriptor": {"descriptor_is_light"},
    "TestNameWithBlank": {"descriptor_is_complete"},
    "TestAliasOfItself": {"descriptor_is_complete"},
    "TestFutureApi": {"descriptor_is_complete"},
    "TestUnexplainedSupport": {"descriptor_is_complete"},
    "TestOptionWithoutHelp": {"options_are_declared"},
    "TestFieldThatIsNoOption": {"options_are_declared"},
    "TestOptionOfAnotherType": {"options_survive_json"},
    "TestStatusIsNoText": {"status_is_lines"},
    "TestMissingMethod": {"load_makes_an_executor_from_the_options"},
    "TestAttributeOfAnotherKind": {"attributes_are_of_their_kind"},
    "TestToolWithoutRemedy": {"tools_and_privileges_are_told"},
    "TestSudoWithoutPurpose": {"tools_and_privileges_are_told"},
    "TestNumberInEnvironment": {"environment_is_text"},
    "TestFifoNotHeld": {"resources_are_told"},
    "TestFieldThatRefusesAndWarns": {"comparability_names_fields"},
    "TestTargetLosesItsEnvironment": {"target_launch_keeps_the_target"},
    "TestTwoStarts": {"measure_starts_the_command_once"},
    "TestAnotherCommand": {"hooks_are_called_in_order"},
    "TestLostInput": {"measure_passes_the_command_on"},
    "TestFailureRaises": {"a_failing_command_is_an_outcome"},
    "TestSignalAsAShellSaysIt": {"a_killed_command_has_a_negative_status"},
    "TestNamelessWindow": {"a_window_without_a_name_is_no_benchmark"},
    "TestLitter": {"nothing_is_written_outside_of_the_profile_folder"},
    "TestModelWithBlank": {"the_measurement_model_is_one_stable_word"},
    "TestUnstableModel": {"the_measurement_model_is_one_stable_word"},
    "TestMetricNamedForPeople": {"results_are_well_formed"},
    "TestMetricWithoutUnit": {"results_are_well_formed"},
    "TestInfiniteMetric": {"results_are_well_formed"},
    "TestInfiniteSample": {"results_are_well_formed"},
    "TestKindAsText": {"results_are_well_formed"},
    "TestTwoHeadlines": {"results_are_well_formed"},
    "TestNoMetrics": {"results_are_well_formed"},
    "TestLostWindow": {"every_window_is_a_benchmark"},
    "TestLostTarget": {"every_target_is_a_benchmark"},
    "TestBoundToAPath": {"results_are_the_same_from_a_bundle"},
    "TestCacheInTheBundle": {"reading_changes_nothing"},
    "TestNegativeCost": {"profiles_and_timelines_are_well_formed"},
    "TestBackInTime": {"profiles_and_timelines_are_well_formed"},
    "TestUnknownBenchmarkRaises": {"an_unknown_benchmark_has_no_profile"},
    "TestEmptyFolderRaises": {"an_empty_folder_has_no_results"},
}


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Return which rules each executor of broken_executors.py breaks."""
    report = tmp_path_factory.mktemp("broken") / "report.xml"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        f"--junitxml={report}",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(
        [*command, HERE / "broken_executors.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert report.exists(), done.stdout + done.stderr
    rules: dict[str, set[str]] = defaultdict(set)
    for case in ET.parse(report).iter("testcase"):
        name = case.attrib["name"].partition("[")[0].removeprefix("test_")
        failed = [child for child in case if child.tag in {"failure", "error"}]
        rules[case.attrib["classname"].rpartition(".")[2]] |= {name} if failed else set()
    return rules


@pytest.mark.parametrize("name", EXPECTED)
def test_exactly_the_intended_rule_is_broken(broken: dict[str, set[str]], name: str) -> None:
    assert broken[name] == EXPECTED[name]


def test_every_broken_executor_is_expected(broken: dict[str, set[str]]) -> None:
    assert broken.keys() == EXPECTED.keys()
