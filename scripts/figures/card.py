"""The card: how large it is, and how soon it is ready in an emulated Raspberry Pi 3."""

import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from . import systemd
from .process import PATIENCE, cpu_seconds, wait_for

ROOT = Path(__file__).resolve().parents[2]
IMAGE = ROOT / "target/image/ringmail-pi.img"
STATIC = ROOT / "target/aarch64-unknown-linux-gnu/release/ringmail"
DTB = "bcm2837-rpi-3-b.dtb"
# What `scripts/unpack-packages` says where Debian's packages are not to be had.
NOT_TO_BE_HAD = 69


def take(report):
    built = subprocess.run([ROOT / "scripts/build-image"], stdout=subprocess.DEVNULL, check=False)
    if built.returncode == NOT_TO_BE_HAD:
        report.skipped("idle: the card", "Debian's packages for it are not to be had here")
        return
    built.check_returncode()
    size = STATIC.stat().st_size / 1024
    peer = "DIY stack, installed 15152"
    report.figure("idle: program for the card, static", size, "KiB", at_most=3584, peer=peer)
    packed = IMAGE.with_suffix(".img.zst").stat().st_size / 2**20
    report.figure("idle: card, compressed", packed, "MiB", at_most=24)
    with tempfile.TemporaryDirectory(prefix="ringmail-bench-") as directory:
        directory = Path(directory)
        starts = ours(directory)
        theirs = peers(directory)
        for which, (seconds, cpu, _) in zip(("first", "next"), starts):
            name = f"idle: emulated Pi 3, to ready, {which} start"
            report.figure(name, seconds, "s", at_most=8)
            # What of that is work: a machine with other work to do takes longer.
            report.figure(f"{name}, emulator's CPU", cpu, "s")
        name = "idle: emulated Pi 3, to ready, over Debian with systemd"
        if theirs is None:
            report.skipped(name, "debootstrap, as root, and Debian's archive make the peer")
        else:
            report.figure(name, starts[1][0] / theirs, at_most=0.25, peer=f"{theirs:.1f} s")


def ours(directory):
    """Two starts, of a new card and of the same one again: see `start`."""
    card = directory / "card"
    shutil.copyfile(IMAGE, card)
    # The emulator wants a power of two.
    os.truncate(card, 256 << 20)
    config = directory / "ringmail.conf"
    config.write_text("line modem device /dev/ttyUSB0\nuser add alice password ring\n")
    boot = f"{card}@@4M"
    subprocess.run(["mcopy", "-o", "-i", boot, config, "::ringmail.conf"], check=True)
    for name in ("kernel8.img", "initramfs.img", DTB, "cmdline.txt"):
        subprocess.run(["mcopy", "-n", "-i", boot, f"::{name}", directory / name], check=True)
    with open(directory / "kernel", "wb") as kernel:
        subprocess.run(["gzip", "-dc", directory / "kernel8.img"], stdout=kernel, check=True)
    # This emulator takes the start of the Pi's watchdog for its end.
    line = (directory / "cmdline.txt").read_text().strip() + " ringmail.watchdog=off"
    ready = b"ready: "
    ramdisk = directory / "initramfs.img"
    return [start(directory, card, line, ramdisk, ready) for _ in range(2)]


def peers(directory):
    """Seconds for the peer to be ready, without those in which the kernel unpacks its RAM disk:
    on a card it would not have one of that size. `None` if there is no peer."""
    ramdisk = systemd.initramfs(directory)
    if ramdisk is None:
        return None
    line = "console=ttyAMA0,115200 console=ttyS1,115200 systemd.show_status=false"
    seconds, _, said = start(directory, directory / "card", line, ramdisk, b"ready:")
    begins, ends = (
        float(re.search(rb"\[ *([0-9.]+)\] " + words, said)[1])
        for words in (b"Trying to unpack rootfs", b"Freeing initrd memory")
    )
    return seconds - (ends - begins)


def start(directory, card, line, ramdisk, word):
    """Seconds from the start of the emulator until its console says `word`; of its CPU; and all
    that was said."""
    console = directory / "console"
    console.unlink(missing_ok=True)
    began = time.monotonic()
    machine = subprocess.Popen(
        ["qemu-system-aarch64", "-M", "raspi3b", "-accel", "tcg,thread=single"]
        + ["-kernel", directory / "kernel", "-dtb", directory / DTB, "-append", line]
        + ["-initrd", ramdisk, "-drive", f"file={card},format=raw,if=sd"]
        + ["-display", "none", "-monitor", "none"]
        + ["-serial", "null", "-chardev", f"socket,id=console,path={console},server=on,wait=on"]
        + ["-serial", "chardev:console", "-netdev", "user,id=lan", "-device", "usb-net,netdev=lan"],
        stderr=subprocess.DEVNULL,
    )
    try:
        with socket.socket(socket.AF_UNIX) as terminal:
            wait_for("the emulator", lambda: terminal.connect_ex(str(console)) == 0)
            terminal.settimeout(10 * PATIENCE)
            said = b""
            while word not in said:
                octets = terminal.recv(4096)
                if not octets:
                    raise RuntimeError(f"it ended, and had said: {said!r}")
                said += octets
        return time.monotonic() - began, cpu_seconds(machine.pid), said
    finally:
        machine.kill()
        machine.wait()

