"""A server in front of a portal that hands its pages on in small pieces, as a slow line does."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# A piece holds one or two thousand characters of a page, which travels compressed.
PIECE = 400
PAUSE = 0.01
# Each concerns one connection, or is written anew.
_OWN = {"connection", "content-length", "date", "host", "origin", "server", "transfer-encoding"}


@contextlib.contextmanager
def in_pieces(port: int) -> Iterator[str]:
    """Serves what the portal on this port of the loopback serves; yields the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _OWN}
            with contextlib.closing(HTTPConnection("127.0.0.1", port, timeout=15)) as portal:
                portal.request(self.command, self.path, body, {**headers, "Host": f"127.0.0.1:{port}"})
                answer = portal.getresponse()
                content = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in _OWN:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if answer.headers.get_content_type() != "text/html":
                self.wfile.write(content)
                return
            for start in range(0, len(content), PIECE):
                self.wfile.write(content[start : start + PIECE])
                time.sleep(PAUSE)

        do_POST = do_GET  # noqa: N815 - the name that the handler looks for

        def log_message(self, *_arguments: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
