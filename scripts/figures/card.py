"""The card: how large it is, and how soon it is ready in an emulated Raspberry Pi 3."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

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
        for start, (seconds, cpu) in zip(("first", "next"), ours(Path(directory))):
            name = f"idle: emulated Pi 3, to ready, {start} start"
            report.figure(name, seconds, "s", at_most=8)
            # What of that is work: a machine with other work to do takes longer.
            report.figure(f"{name}, emulator's CPU", cpu, "s")


def ours(directory):
    """Seconds to `ready`, and of CPU, for a new card and for the same one again."""
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
    return [start(directory, card, line, ready) for _ in range(2)]


def start(directory, card, line, word):
    """Seconds from the start of the emulator until its console says `word`, and of its CPU."""
    console = directory / "console"
    console.unlink(missing_ok=True)
    began = time.monotonic()
    machine = subprocess.Popen(
        ["qemu-system-aarch64", "-M", "raspi3b", "-accel", "tcg,thread=single"]
        + ["-kernel", directory / "kernel", "-dtb", directory / DTB, "-append", line]
        + ["-initrd", directory / "initramfs.img", "-drive", f"file={card},format=raw,if=sd"]
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
        return time.monotonic() - began, cpu_seconds(machine.pid)
    finally:
        machine.kill()
        machine.wait()

