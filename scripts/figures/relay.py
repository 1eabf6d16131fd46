"""A TCP relay that counts what passes."""

import select
import socket
import threading


class Relay:
    """Leads to `port`, one connection at a time.

    `octets` counts both directions, `turns` how often the direction changed to the server.
    """

    def __init__(self, port):
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.octets = 0
        self.turns = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.close()

    def _serve(self):
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._to))
            except OSError:
                # The end of the chapter.
                return
            with client, server:
                for one in (client, server):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._carry(client, server)

    def _carry(self, client, server):
        others = {client: server, server: client}
        last = server
        while True:
            for one in select.select([client, server], [], [])[0]:
                try:
                    piece = one.recv(1 << 18)
                    if not piece:
                        return
                    others[one].sendall(piece)
                except OSError:
                    return
                self.octets += len(piece)
                self.turns += one is client and last is server
                last = one
