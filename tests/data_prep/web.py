"""A web server of one file for the tests, on this machine, with the manners that a test gives it."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def serving(content, name="all.zip"):
    """Serves bytes at `.url`; a test sets the rest, and reads the requests' headers in `.seen`.

    `.answers` are codes sent before anything else, `.stops` the bytes after which a connection breaks.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            server.seen.append(dict(self.headers))
            if self.path in server.redirects:
                self.send_response(302)
                self.send_header("Location", server.redirects[self.path])
                self.end_headers()
                return
            if server.answers:
                self.send_error(server.answers.pop(0))
                return
            content, start = server.content, 0
            wanted, match = self.headers.get("Range"), self.headers.get("If-Range")
            if wanted and server.ranges and match in (None, server.etag, server.modified):
                start = int(wanted.removeprefix("bytes=").rstrip("-"))
                if start >= len(content):
                    self.send_error(416)
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            else:
                self.send_response(200)
            self.send_header("Content-Type", server.kind)
            for name, value in (("ETag", server.etag), ("Last-Modified", server.modified)):
                if value:
                    self.send_header(name, value)
            if server.announced:
                self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            stop = server.stops.pop(0) if server.stops else len(content)
            self.wfile.write(content[start:stop])
            self.close_connection = True

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.seen, server.redirects, server.answers, server.stops = [], {}, [], []
    server.ranges, server.announced, server.kind = True, True, "application/zip"
    server.etag, server.modified = '"one"', "Sun, 01 Nov 2026 00:00:00 GMT"
    server.content = content
    server.url = f"http://127.0.0.1:{server.server_port}/{name}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
