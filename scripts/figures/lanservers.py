"""LAN servers for bad days: one of endless mail, and several that swallow everything."""

import multiprocessing
import re
import select
import socket
import threading

from .mails import mail


class Flood:
    """A POP3 server with one new mail of 20 MB at every login, as fast as loopback goes.

    `sent` counts the octets of mail. It runs in a process of its own: what is measured beside it
    must not wait for Python's lock.
    """

    def __init__(self, octets=20_000_000):
        self.sent = multiprocessing.Value("Q", 0)
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        arguments = (listener, self.sent, octets)
        self._process = multiprocessing.Process(target=_flood, args=arguments, daemon=True)
        self._process.start()
        listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.join()


def _flood(listener, sent, octets):
    body = mail(0, octets).split(b"\r\n\r\n", 1)[1].replace(b"\r\n.", b"\r\n..")
    for session in range(1, 1 << 30):
        connection, _ = listener.accept()
        try:
            with connection, connection.makefile("rb") as commands:
                _serve(connection, commands, session, body, sent)
        except OSError:
            pass


def _serve(connection, commands, session, body, sent):
    # All heads are of one length, as the LIST below wants it.
    size = len(head_of(session)) + len(body.replace(b"\r\n..", b"\r\n."))
    say = connection.sendall
    say(b"+OK flood\r\n")
    for command in commands:
        words = command.split()
        verb = words[0].upper() if words else b""
        if verb == b"CAPA":
            say(b"+OK\r\nTOP\r\nUIDL\r\nUSER\r\nPIPELINING\r\n.\r\n")
        elif verb == b"STAT":
            say(b"+OK %d %d\r\n" % (session, session * size))
        elif verb == b"UIDL":
            lines = (b"%d flood%d\r\n" % (one, one) for one in range(1, session + 1))
            say(b"+OK\r\n" + b"".join(lines) + b".\r\n")
        elif verb == b"LIST" and len(words) > 1:
            say(b"+OK %s %d\r\n" % (words[1], size))
        elif verb == b"LIST":
            lines = (b"%d %d\r\n" % (one, size) for one in range(1, session + 1))
            say(b"+OK\r\n" + b"".join(lines) + b".\r\n")
        elif verb == b"LAST":
            say(b"-ERR what?\r\n")
        elif verb == b"TOP" and words[2:] == [b"0"]:
            say(b"+OK\r\n" + head_of(int(words[1])) + b".\r\n")
        elif verb in (b"TOP", b"RETR"):
            say(b"+OK\r\n" + head_of(int(words[1])))
            for at in range(0, len(body), 1 << 16):
                say(body[at : at + (1 << 16)])
                sent.value += 1 << 16
            say(b".\r\n")
        else:
            say(b"+OK\r\n")
        if verb == b"QUIT":
            return


def head_of(number):
    return mail(100_000 + number, 0)


class Silent:
    """Takes connections (the kernel does) and never says a word."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self._listener.getsockname()[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.close()


class Swallower:
    """Swallows every SYN: its queue of connections is full."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.port = self._listener.getsockname()[1]
        self._fill = []

    def __enter__(self):
        for _ in range(16):
            one = socket.socket()
            one.setblocking(False)
            self._fill.append(one)
            one.connect_ex(("127.0.0.1", self.port))
            if not select.select([], [one], [], 0.2)[1]:
                return self
        raise RuntimeError("a queue of connections that is never full")

    def __exit__(self, *_):
        for one in [*self._fill, self._listener]:
            one.close()


class SilentNames:
    """A name server that never answers, for programs that read `resolv_conf`."""

    ADDRESS = "127.0.77.53"

    def __init__(self, directory):
        self.resolv_conf = directory / "resolv.conf"
        self.resolv_conf.write_text(f"nameserver {self.ADDRESS}\n")
        self.questions = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((self.ADDRESS, 53))
        threading.Thread(target=self._swallow, daemon=True).start()

    def wrapper(self):
        """What must stand before a command that is to ask this server."""
        script = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
        return ["unshare", "--mount", "sh", "-c", script, str(self.resolv_conf)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def _swallow(self):
        try:
            while re.search(b"nowhere", self._socket.recv(512)):
                self.questions += 1
        except OSError:
            pass
