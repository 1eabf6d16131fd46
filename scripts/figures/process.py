"""Processes: the gateway, a server beside it, and what the kernel counts of them."""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

PROGRAM = Path(__file__).resolve().parents[2] / "target/release/ringmail"
PATIENCE = 120


class TempDir:
    """A directory that ends with its `with`."""

    def __enter__(self):
        # Mail users are not root: they must be able to come in.
        self.path = Path(tempfile.mkdtemp(prefix="ringmail-bench-"))
        self.path.chmod(0o755)
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(what, ready, patience=PATIENCE):
    limit = time.monotonic() + patience
    while time.monotonic() < limit:
        answer = ready()
        if answer:
            return answer
        time.sleep(0.005)
    raise TimeoutError(f"waited too long for {what}")


class Gateway:
    """`ringmail run`, with `config`; below `wrapper`, if given, such as strace and its options."""

    def __init__(self, directory, config, wrapper=(), size="256M"):
        self.state = directory / "state"
        self.state.mkdir(parents=True, exist_ok=True)
        text = directory / "ringmail.conf"
        text.write_text(f"hostname bench\nstore {directory}/ring size {size}\n{config}\n")
        command = [*wrapper, PROGRAM, "run", "--board", "host", "--console", "none"]
        command += ["--config", text, "--state", self.state]
        environment = {**os.environ, "RUST_LOG": "info"}
        self.log = []
        self._more = threading.Condition()
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment
        )
        threading.Thread(target=self._listen, daemon=True).start()
        self.says("ready")
        self.pid = child_of(self._process.pid) if wrapper else self._process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.kill(self.pid, signal.SIGTERM)
        self._process.wait(PATIENCE)

    def says(self, word, times=1):
        """Waits until `word` stood in so many lines of the log."""
        def said():
            return sum(word in line for line in self.log) >= times or self._process.poll() is not None
        with self._more:
            if not self._more.wait_for(said, PATIENCE) or self._process.poll() is not None:
                raise RuntimeError(f"the gateway never said {word!r}:\n" + "".join(self.log[-20:]))

    def attach(self, *words):
        command = [PROGRAM, "attach", "--state", self.state, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def poll(self, user):
        """One visit, from the command to its line in the log."""
        word = f"user {user}: "
        before = sum(word in line for line in self.log)
        self.attach("poll", user)
        self.says(word, before + 1)

    def _listen(self):
        for line in self._process.stderr:
            with self._more:
                self.log.append(line)
                self._more.notify_all()


def child_of(pid):
    """The program that a wrapper runs; itself, if the wrapper has become it."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return child_of(int(children[0])) if children else pid


def cpu_seconds(pid):
    """CPU time of all threads that live. The scheduler's own count: `stat` has ticks of 10 ms."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def wake_ups(pid):
    """How often a thread of it has slept of its own will and was woken."""
    texts = [(task / "status").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return sum(int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", t, re.M)[1]) for t in texts)


def memory_kib(pid, *words):
    """Resident and proportional set, or what else the kernel calls by `words`."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    words = words or ("Rss", "Pss")
    return tuple(int(re.search(rf"^{word}:\s*(\d+)", text, re.M)[1]) for word in words)


def descendants(pid):
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid] + [one for child in children for one in descendants(int(child))]
