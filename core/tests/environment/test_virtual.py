from __future__ import annotations

from typing import Any

import pytest

from codspeed.environment.virtual import container, image, virtualization

X86_HOST: dict[str, Any] = {
    "arch": "x86_64",
    "is_guest": False,
    "hypervisor": "",
    "firmware": [],
    "kernel": "6.1.0-18-amd64",
}


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        pytest.param({}, "none", id="x86 host"),
        pytest.param({"firmware": ["Amazon EC2"]}, "none", id="x86 metal in a cloud"),
        pytest.param({"is_guest": True}, "vm", id="guest of whom nobody says"),
        pytest.param({"is_guest": True, "firmware": ["KVM"]}, "kvm", id="kvm"),
        pytest.param(
            {"is_guest": True, "firmware": ["m5.large", "Amazon EC2"]}, "amazon", id="ec2"
        ),
        pytest.param(
            {"is_guest": True, "firmware": ["Virtual Machine", "Microsoft Corporation"]},
            "microsoft",
            id="hyper-v and azure",
        ),
        pytest.param(
            {"is_guest": True, "firmware": ["Google Compute Engine", "Google"]}, "google", id="gce"
        ),
        pytest.param({"is_guest": True, "firmware": ["Standard PC", "QEMU"]}, "qemu", id="qemu"),
        pytest.param({"is_guest": True, "hypervisor": "xen"}, "xen", id="xen"),
        pytest.param(
            {"is_guest": True, "kernel": "5.15.1-microsoft-standard-WSL2"}, "wsl", id="wsl"
        ),
        pytest.param({"arch": "aarch64"}, "", id="arm without firmware names"),
        pytest.param(
            {"arch": "aarch64", "firmware": ["Amazon EC2"]}, "amazon", id="arm in a cloud"
        ),
        pytest.param(
            {"arch": "aarch64", "firmware": ["a1.metal", "Amazon EC2"]}, "none", id="arm metal"
        ),
        pytest.param({"arch": "aarch64", "hypervisor": "linux,kvm"}, "kvm", id="arm device tree"),
    ],
)
def test_virtualization_is_named(facts: dict[str, Any], expected: str) -> None:
    assert virtualization(**(X86_HOST | facts)) == expected


NOWHERE: dict[str, Any] = {"env": {}, "files": [], "manager": "", "cgroup": "0::/init.scope\n"}


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        pytest.param({}, "", id="no container"),
        pytest.param({"files": ["/.dockerenv"]}, "docker", id="docker"),
        pytest.param({"files": ["/run/.containerenv"]}, "podman", id="podman"),
        pytest.param(
            {"files": ["/.dockerenv"], "env": {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}},
            "kubernetes",
            id="pod",
        ),
        pytest.param(
            {"cgroup": "1:name=systemd:/kubepods/pod1\n"}, "kubernetes", id="pod by cgroup"
        ),
        pytest.param({"env": {"container": "lxc"}}, "lxc", id="lxc"),
        pytest.param({"manager": "systemd-nspawn"}, "systemd-nspawn", id="nspawn"),
        pytest.param({"manager": "other"}, "other", id="a manager we never heard of"),
    ],
)
def test_containers_are_named(facts: dict[str, Any], expected: str) -> None:
    assert container(**(NOWHERE | facts)) == expected


def test_the_image_of_a_ci_runner_has_name_and_version() -> None:
    assert image({"ImageOS": "ubuntu24", "ImageVersion": "20260105.1"}) == "ubuntu24 20260105.1"


def test_elsewhere_there_is_no_image() -> None:
    assert image({}) == ""
