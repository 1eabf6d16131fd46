"""Dovecot, the peer: a server of its own in a directory and at ports of its own."""

import os
import pwd
import signal
import socket
import subprocess

from .process import PATIENCE, descendants, free_port, memory_kib, wait_for

CONFIG = """\
base_dir = {dir}/run
state_dir = {dir}/state
instance_name = ringmail-bench
protocols = {protocols}
listen = 127.0.0.1
log_path = {dir}/log
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_failure_delay = 0
mail_location = maildir:~/Maildir
first_valid_uid = 1
first_valid_gid = 1
{users}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {dir}/passwd
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={dir}/home/%u
}}
namespace inbox {{
  inbox = yes
}}
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    address = 127.0.0.1
    port = {port}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    address = 127.0.0.1
    port = {imap_port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service anvil {{
  chroot =
}}
"""


class Dovecot:
    """Serves `mails` to alice, password alicepw."""

    def __init__(self, directory, mails, protocols="pop3"):
        directory.mkdir()
        root = os.geteuid() == 0
        me = pwd.getpwuid(os.geteuid())
        owner = pwd.getpwnam("nobody") if root else me
        names = f"default_internal_user = {me.pw_name}\ndefault_login_user = {me.pw_name}\n"
        maildir = directory / "home/alice/Maildir"
        for name in ("cur", "new", "tmp"):
            (maildir / name).mkdir(parents=True)
        self._inbox = maildir / "cur"
        self._owner = owner if root else None
        for number, mail in enumerate(mails):
            self.put(number, mail)
        if root:
            for path, _, files in os.walk(directory / "home"):
                for name in [path, *(os.path.join(path, file) for file in files)]:
                    os.chown(name, owner.pw_uid, owner.pw_gid)
        (directory / "passwd").write_text("alice:{PLAIN}alicepw\n")
        self.port, self.imap_port = free_port(), free_port()
        config = directory / "dovecot.conf"
        config.write_text(
            CONFIG.format(
                dir=directory,
                port=self.port,
                imap_port=self.imap_port,
                protocols=protocols,
                uid=owner.pw_uid,
                gid=owner.pw_gid,
                users="" if root else names,
            )
        )
        self._process = subprocess.Popen(["/usr/sbin/dovecot", "-F", "-c", config])
        wait_for("Dovecot", self._greets)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(PATIENCE)

    def put(self, number, mail):
        """Delivers a mail."""
        path = self._file(number)
        path.write_bytes(mail)
        if self._owner:
            os.chown(path, self._owner.pw_uid, self._owner.pw_gid)

    def drop(self, number):
        """As if it had been read at the desk and fetched away."""
        # Its flags stand in the name: it may be marked as seen since.
        for file in self._inbox.glob(self._file(number).name + "*"):
            file.unlink()

    def _file(self, number):
        return self._inbox / f"{952336800 + number}.M{number}.bench:2,"

    def pss_kib(self):
        """Of all its processes."""
        return sum(memory_kib(pid)[1] for pid in descendants(self._process.pid))

    def _greets(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                return connection.recv(3) == b"+OK"
        except OSError:
            return False
