"""Other mail retrievers: each run is one process that copies to this machine what is new."""

import os
import resource
import subprocess
import time


class Run:
    """What one run took, in seconds."""

    def __init__(self, command, home, allowed=(0,)):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.monotonic()
        environment = {**os.environ, "HOME": str(home)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        self.wall = time.monotonic() - start
        if done.returncode not in allowed:
            raise RuntimeError(f"{command[0]}: {done.returncode}: {done.stderr[-500:]}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


class Retriever:
    """One that keeps its configuration and its memory in a directory of its own."""

    imap = False
    allowed = (0,)

    def __init__(self, directory, port):
        self._home = directory / self.name
        self._config = self._home / "rc"
        for name in ("cur", "new", "tmp"):
            (self._home / "Maildir" / name).mkdir(parents=True)
        self._config.write_text(self.config(port))
        self._config.chmod(0o600)

    def run(self):
        return Run(self.command(), self._home, self.allowed)


class Mpop(Retriever):
    """Copies to a Maildir, pipelined."""

    name = "mpop"

    def config(self, port):
        return (
            f"account a\nhost 127.0.0.1\nport {port}\ntls off\nauth user\nuser alice\n"
            f"password alicepw\ndelivery maildir {self._home}/Maildir\n"
            f"uidls_file {self._home}/uidls\nkeep on\nonly_new on\nreceived_header off\n"
            "account default : a\n"
        )

    def command(self):
        return ["mpop", "-q", "-C", self._config]


class Fetchmail(Retriever):
    """Hands each mail to a program; here one that only appends it to a file."""

    name = "fetchmail"
    # 1: there was no mail.
    allowed = (0, 1)

    def config(self, port):
        return (
            f'set idfile "{self._home}/ids"\nset no syslog\n'
            f"poll 127.0.0.1 protocol pop3 port {port} uidl\n"
            f'user alice password alicepw is root here keep sslproto ""\n'
            f'mda "cat >> {self._home}/mbox"\n'
        )

    def command(self):
        return ["fetchmail", "-s", "-f", self._config, "--pidfile", self._home / "pid"]


class Mbsync(Retriever):
    """Keeps a Maildir as the IMAP mailbox is."""

    name = "mbsync"
    imap = True

    def config(self, port):
        return (
            f"IMAPAccount a\nHost 127.0.0.1\nPort {port}\nUser alice\nPass alicepw\n"
            "SSLType None\nAuthMechs LOGIN\n\nIMAPStore far\nAccount a\n\n"
            f"MaildirStore near\nPath {self._home}/\nInbox {self._home}/Maildir\n\n"
            "Channel c\nFar :far:\nNear :near:\nSync Pull\nExpunge Near\nSyncState *\n"
        )

    def command(self):
        return ["mbsync", "-q", "-c", self._config, "c"]


ALL = (Mpop, Fetchmail, Mbsync)
