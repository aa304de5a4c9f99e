"""Whether a hypervisor or a container is below us. No I/O here: decisions over what was read.

The words are those of systemd-detect-virt(1) where it has one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Beginnings of the firmware's names for itself. Source: systemd, src/basic/virt.c.
_FIRMWARE: Final = (
    ("KVM", "kvm"),
    ("OpenStack", "kvm"),
    ("KubeVirt", "kvm"),
    ("Amazon EC2", "amazon"),
    ("Google Compute Engine", "google"),
    ("QEMU", "qemu"),
    ("VMware", "vmware"),
    ("VMW", "vmware"),
    ("innotek GmbH", "oracle"),
    ("VirtualBox", "oracle"),
    ("Xen", "xen"),
    ("Bochs", "bochs"),
    ("Parallels", "parallels"),
    ("BHYVE", "bhyve"),
    ("Hyper-V", "microsoft"),
    ("Virtual Machine", "microsoft"),  # product name; the vendor, Microsoft, also makes laptops
    ("Apple Virtualization", "apple"),
)

# Words in /proc/1/cgroup or /run/systemd/container, the most telling first.
_CONTAINERS: Final = (
    ("kubepods", "kubernetes"),
    ("libpod", "podman"),
    ("podman", "podman"),
    ("docker", "docker"),
    ("containerd", "containerd"),
    ("lxc", "lxc"),
    ("nspawn", "systemd-nspawn"),
)


def virtualization(
    *,
    arch: str,
    is_guest: bool,
    hypervisor: str,
    firmware: Sequence[str],
    kernel: str,
) -> str:
    """Return the hypervisor below this kernel: its name, "vm", "none", or empty if unknown.

    Args:
        arch: Only x86 processors say themselves that they are a guest's.
        is_guest: They do.
        hypervisor: /sys/hypervisor/type, or `compatible` of the device tree's hypervisor node.
        firmware: Names from /sys/class/dmi/id: product, vendors.
        kernel: Release; WSL writes its name there.
    """
    if "microsoft" in kernel.lower():
        return "wsl"
    if hypervisor:
        return hypervisor.removeprefix("linux,")
    named = _named_by_firmware(firmware)
    if arch in {"x86_64", "i686", "i386"}:
        return (named or "vm") if is_guest else "none"
    return "none" if any(name.endswith(".metal") for name in firmware) else named


def _named_by_firmware(firmware: Sequence[str]) -> str:
    for text in firmware:
        for start, word in _FIRMWARE:
            if text.startswith(start):
                return word
    return ""


def container(*, env: Mapping[str, str], files: Sequence[str], manager: str, cgroup: str) -> str:
    """Return the kind of container around us; empty if there is no sign of one.

    Args:
        env: Variables that container managers set.
        files: Which of "/.dockerenv" and "/run/.containerenv" exist.
        manager: /run/systemd/container.
        cgroup: /proc/1/cgroup.
    """
    if env.get("KUBERNETES_SERVICE_HOST"):
        return "kubernetes"
    if "/run/.containerenv" in files:
        return "podman"
    if "/.dockerenv" in files:
        return "docker"
    for text in (manager, env.get("container", ""), cgroup):
        for sign, word in _CONTAINERS:
            if sign in text:
                return word
    return manager or env.get("container", "")


def image(env: Mapping[str, str]) -> str:
    """Return name and version of a CI runner's disk image, as GitHub's runners give them."""
    return " ".join(filter(None, (env.get("ImageOS", ""), env.get("ImageVersion", ""))))
