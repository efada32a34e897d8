#!/usr/bin/env python3
"""No provider's key leaves the server, but in the header it is for.

Upstreams that repeat the key in every error they make, in the ways real ones do, are put behind each kind
of provider. Afterwards the key must be nowhere: no answer, event, log line, metric, and no byte of the data
directory. The last line is "N passed, N failed".
"""

import http.server
import json
import os
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from perdure_test import Scratch, Server  # noqa: E402

KEY = "sk-proj-Zq7Vt0UeX1mNc4Kd9Rb2Ws6Yh"
KINDS = {
    "openai-chat": "/v1",
    "openai-responses": "/v1",
    "anthropic-messages": "",
    "bedrock-converse": "",
}
# What upstreams do with the key, by the text of the session's message.
ANSWERS = {
    "unauthorized": (401, "application/json", {"error": {"message": f"Incorrect API key provided: {KEY}."}}),
    "bad request": (400, "application/json", {"error": {"message": f"Bad header: Bearer {KEY}", "code": KEY}}),
    "overloaded": (529, "application/json", {"type": "error", "error": {"type": "overloaded_error", "message": KEY}}),
    "a page": (502, "text/html", f"<html>proxy error for {KEY}</html>"),
    "in the stream": (200, "text/event-stream", f'event: error\ndata: {{"type":"error","error":{{"type":"server_error","message":"{KEY}"}}}}\n\n'),
    "no protocol": (200, "text/event-stream", f"data: {KEY}\n\n"),
    "a redirect": (302, "text/html", ""),
}


class Upstream:
    """Answers as the last message says, and remembers which headers held the key."""

    def __init__(self):
        upstream = self
        self.headers_with_key = set()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                for name, value in self.headers.items():
                    if KEY in value:
                        upstream.headers_with_key.add(name.lower())
                assert KEY not in body and KEY not in self.path
                wanted = next(text for text in ANSWERS if text in body)
                status, content_type, answer = ANSWERS[wanted]
                data = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
                self.send_response(status, f"Key {KEY}")
                self.send_header("Content-Type", content_type)
                self.send_header("Location", f"http://127.0.0.1:9/?key={KEY}")
                self.send_header("x-request-id", KEY)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class NoKeyLeaves(unittest.TestCase):
    def setUp(self):
        self.scratch = Scratch()
        self.directory = self.scratch.__enter__()
        self.addCleanup(self.scratch.__exit__)
        self.upstream = Upstream()
        self.addCleanup(self.upstream.close)

    def server(self, kind):
        config = (f'[[provider]]\nname = "up"\nkind = "{kind}"\nbase_url = "{self.upstream.url}{KINDS[kind]}"\n'
                  f'api_key_env = "THE_KEY"\n')
        server = Server(os.environ["PERDURE_BINARY"], self.directory, config,
                        environment={"THE_KEY": KEY, "PERDURE_LOG_LEVEL": "debug"})
        self.addCleanup(server.close)
        return server.start()

    def everything_written(self):
        for folder, _, names in os.walk(self.directory):
            for name in names:
                path = os.path.join(folder, name)
                if os.path.isfile(path):
                    with open(path, "rb") as file:
                        yield path, file.read()

    def see(self, kind):
        server = self.server(kind)
        shown = []
        for text in ANSWERS:
            # Anew each time: its breaker would leave an upstream alone that only ever fails.
            server.stop()
            server.start()
            status, headers, created = server.create(text, model="any")
            self.assertEqual(status, 201, created)
            server.wait_for(created["id"], "idle", "failed")
            path = f"/v1/agents/sessions/{created['id']}"
            for more in ("", "/items", "/turns"):
                shown.append(server.request("GET", path + more))
            turns = server.request("GET", path + "/turns")[2]["data"]
            self.assertEqual(turns[0]["status"], "failed", (text, turns))
            self.assertTrue(turns[0]["error"]["message"], text)
        for path in ("/metrics", "/v1/models", "/openapi.json", "/readyz"):
            shown.append(server.request("GET", path))
        server.stop()
        server.log.flush()
        self.assertNotIn(KEY, repr(shown))
        for path, data in self.everything_written():
            self.assertNotIn(KEY.encode(), data, path)
        self.assertLessEqual(self.upstream.headers_with_key, {"authorization", "x-api-key"})
        self.assertTrue(self.upstream.headers_with_key, "the key was not sent at all")


def case(kind):
    return lambda self: self.see(kind)


for each in KINDS:
    setattr(NoKeyLeaves, f"test_{each.replace('-', '_')}", case(each))


if __name__ == "__main__":
    result = unittest.main(exit=False, verbosity=1).result
    bad = len(result.failures) + len(result.errors)
    print(f"{result.testsRun - bad} passed, {bad} failed")
    sys.exit(bad > 0)
