"""The card's peer: a Debian with systemd on the same kernel, in the same emulated Pi 3.

Its root lies in the initial RAM disk, as the card's does, so it reads nothing from a card: what is
installed the usual way is not faster. Made by debootstrap's first stage, all packages unpacked.
"""

import os
import shutil
import subprocess
from pathlib import Path


SUITE = "trixie"
MIRROR = os.environ.get("DEBIAN_MIRROR", "http://deb.debian.org/debian")
# What a Pi that answers a modem needs at the least: init, devices, network, a shell.
PACKAGES = "systemd-sysv,udev,dbus,iproute2,ifupdown"
# Nobody boots faster by these.
LEFT_OUT = ["usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "var/cache/apt"]
READY = """[Unit]
After=network.target dbus.service

[Service]
Type=oneshot
StandardOutput=tty
TTYPath=/dev/console
ExecStart=/bin/echo ready:
"""


def initramfs(directory):
    """The peer's initial RAM disk; `None` where debootstrap or the archive is not to be had."""
    root = directory / "root"
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        return None
    made = subprocess.run(
        ["debootstrap", "--foreign", "--arch=arm64", "--variant=minbase"]
        + [f"--include={PACKAGES}", SUITE, root, MIRROR],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
    )
    if made.returncode != 0:
        return None
    for archive in sorted((root / "var/cache/apt/archives").glob("*.deb")):
        subprocess.run(["dpkg-deb", "--extract", archive, root], check=True)
    configure(root)
    for name in LEFT_OUT:
        shutil.rmtree(root / name, ignore_errors=True)
    packed = directory / "peer.cpio"
    with open(packed, "wb") as out:
        subprocess.run(
            "find . -print0 | cpio --null --create --quiet --format=newc --owner=0:0",
            shell=True, cwd=root, stdout=out, check=True,
        )
    return packed


def configure(root):
    """What its packages' scripts would leave behind, as far as a start needs it."""
    base = root / "usr/share/base-passwd"
    for name in ("passwd", "group"):
        shutil.copyfile(base / f"{name}.master", root / "etc" / name)
    (root / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    (root / "etc/hostname").write_text("peer\n")
    (root / "etc/fstab").write_text("")
    (root / "init").unlink(missing_ok=True)
    (root / "init").symlink_to("usr/lib/systemd/systemd")
    system = root / "etc/systemd/system"
    wants = system / "multi-user.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    (system / "ready.service").write_text(READY)
    (wants / "ready.service").symlink_to("../ready.service")
    (system / "default.target").unlink(missing_ok=True)
    (system / "default.target").symlink_to("/usr/lib/systemd/system/multi-user.target")
