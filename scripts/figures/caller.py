"""A POP3 client that only counts: how fast does a server serve all it has?"""

import socket
import threading
import time

PATIENCE = 60
END = b"\r\n.\r\n"


class Hungup(Exception):
    """The other end closed."""


class Caller:
    """A session at a port of this machine, logged in."""

    def __init__(self, port, user, password):
        limit = time.monotonic() + PATIENCE
        while not self._dial(port):
            if time.monotonic() > limit:
                raise TimeoutError(f"port {port} is always busy")
            time.sleep(0.2)
        self._say(f"USER {user}")
        self._say(f"PASS {password}")
        self.count = int(self._say("STAT").split()[1])

    def ids(self):
        """Reads the unique-ids of all mails; octets."""
        self._connection.sendall(b"UIDL\r\n")
        return self._until(lambda answer: answer.endswith(END))

    def lockstep(self):
        """Reads every mail, one after the other; octets and seconds."""
        start, octets = time.monotonic(), 0
        for number in range(1, self.count + 1):
            self._connection.sendall(b"RETR %d\r\n" % number)
            octets += self._until(lambda answer: answer.endswith(END))
        return octets, time.monotonic() - start

    def pipelined(self):
        """Asks for every mail at once; octets and seconds."""
        start = time.monotonic()
        wishes = b"".join(b"RETR %d\r\n" % number for number in range(1, self.count + 1))
        asking = threading.Thread(target=self._connection.sendall, args=[wishes])
        asking.start()
        ends, octets, last = 0, 0, b""
        while ends < self.count:
            piece = self._read()
            octets += len(piece)
            # An end that began in the last piece is counted with this one.
            ends += (last + piece).count(END)
            last = (last + piece)[-4:]
        asking.join()
        return octets, time.monotonic() - start

    def mails(self):
        """What it gets, one after the other, without the dots that were put in."""
        for number in range(1, self.count + 1):
            self._connection.sendall(b"RETR %d\r\n" % number)
            kept = []
            self._until(lambda answer: answer.endswith(END), kept)
            body = b"".join(kept).split(b"\r\n", 1)[1].removesuffix(b".\r\n")
            yield (b"\r\n" + body).replace(b"\r\n.", b"\r\n")[2:]

    def quit(self):
        self._say("RSET")
        self._say("QUIT")
        self._connection.close()

    def _dial(self, port):
        """Whether somebody greets. A modem line that has just hung up is busy for a while."""
        self._connection = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            # The greeting of a modem line comes after CONNECT and a pause.
            self._until(lambda answer: b"+OK" in answer and answer.endswith(b"\r\n"))
        except (Hungup, OSError):
            return False
        return True

    def _say(self, words):
        self._connection.sendall(words.encode() + b"\r\n")
        kept = []
        self._until(lambda answer: answer.endswith(b"\r\n"), kept)
        answer = b"".join(kept).decode()
        if not answer.startswith("+OK"):
            raise RuntimeError(f"{words}: {answer}")
        return answer

    def _until(self, whole, kept=None):
        """Reads until the last octets make an answer `whole`; how many came."""
        octets, last = 0, b""
        while not whole(last):
            piece = self._read()
            octets += len(piece)
            last = (last + piece)[-200:]
            if kept is not None:
                kept.append(piece)
        return octets

    def _read(self):
        piece = self._connection.recv(1 << 18)
        if not piece:
            raise Hungup
        return piece
