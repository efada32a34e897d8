#!/usr/bin/env python3
"""No provider's key and no MCP server's credential leaves the server, but in the header it is for.

Upstreams that repeat the key in every error they make, in the ways real ones do, are put behind each kind
of provider; a server of tools repeats its credential in its lists, results and errors. Afterwards the key
must be nowhere: no answer, event, log line, metric, and no byte of the data directory. The last line is
"N passed, N failed".
"""

import http.server
import json
import os
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from perdure_test import Model, Scratch, Server  # noqa: E402

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


class Teller(http.server.BaseHTTPRequestHandler):
    """Answers with KEY wherever an answer has room for it."""

    def send(self, status, content_type, answer, headers):
        data = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
        self.send_response(status, f"Key {KEY}")
        for name, value in {"Content-Type": content_type, "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


class Listener:
    """A server on loopback, until it is closed."""

    def listen(self, handler):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Upstream(Listener):
    """Answers as the last message says, and remembers which headers held the key."""

    def __init__(self):
        upstream = self
        self.headers_with_key = set()

        class Handler(Teller):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                for name, value in self.headers.items():
                    if KEY in value:
                        upstream.headers_with_key.add(name.lower())
                assert KEY not in body and KEY not in self.path
                wanted = next(text for text in ANSWERS if text in body)
                status, content_type, answer = ANSWERS[wanted]
                self.send(status, content_type, answer,
                          {"Location": f"http://127.0.0.1:9/?key={KEY}", "x-request-id": KEY})

        self.listen(Handler)


# What a server of tools does with its credential.
MCP_CASES = {
    # Whole answers to `tools/list`: (status, JSON-RPC member, its value).
    "list_error": ("list", 200, "error", {"code": -32000, "message": f"not for Bearer {KEY}"}),
    "list_status": ("list", 401, "error", {"code": -32001, "message": KEY, "data": {"header": f"Bearer {KEY}"}}),
    "list_page": ("list", 502, None, f"<html>Bearer {KEY}</html>"),
    # Of it only a part fits into our sentence.
    "list_long_error": ("list", 200, "error", {"code": -32000, "message": "x" * 580 + KEY + "y" * 5000}),
    "list_description": ("list", 200, "result", {"tools": [
        {"name": "look", "description": f"Looks, for Bearer {KEY}.",
         "inputSchema": {"type": "object", "properties": {"of": {"type": "string", "description": KEY}}}}]}),
    "list_bad_tool": ("list", 200, "result", {"tools": [
        {"name": f"look {KEY}", "description": KEY, "inputSchema": {"type": "object"}},
        {"name": f"look-{KEY}", "inputSchema": {"type": "object"}},
        {"name": "fine", "inputSchema": {"type": "object"}}]}),
    # Answers to `tools/call`.
    "call_result": ("call", 200, "result", {"content": [{"type": "text", "text": f"seen: Bearer {KEY}, {KEY}"}]}),
    "call_failed": ("call", 200, "result", {"isError": True, "content": [{"type": "text", "text": f"no: {KEY}"}]}),
    "call_structured": ("call", 200, "result", {"content": [], "structuredContent": {"header": f"Bearer {KEY}"}}),
    "call_link": ("call", 200, "result", {"content": [
        {"type": "resource_link", "uri": f"https://x.example/?k={KEY}", "name": KEY},
        {"type": "resource", "resource": {"uri": f"x:{KEY}", "text": KEY}}]}),
    "call_error": ("call", 200, "error", {"code": -32000, "message": f"Bearer {KEY} may not"}),
    "call_long_error": ("call", 200, "error", {"code": -32000, "message": "x" * 580 + KEY + "y" * 5000}),
    "call_status": ("call", 403, "error", {"code": -32001, "message": f"Bearer {KEY}"}),
    "call_page": ("call", 500, None, f"<html>Bearer {KEY}</html>"),
    "call_no_protocol": ("call", 200, None, f"Bearer {KEY}"),
}


class EchoingTools(Listener):
    """An MCP server (the protocol before the newest) that does what its path says, and wants KEY."""

    def __init__(self):
        tools = self
        self.headers_with_key = set()
        self.reached = set()

        class Handler(Teller):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                for name, value in self.headers.items():
                    if KEY in value:
                        tools.headers_with_key.add(name.lower())
                assert KEY not in json.dumps(body) and KEY not in self.path
                name = self.path.rsplit("/", 1)[1]
                when, status, member, value = MCP_CASES[name]
                method = body["method"]
                if method == "server/discover":
                    return self.tell(400, {"jsonrpc": "2.0", "id": body["id"],
                                           "error": {"code": -32601, "message": f"unknown, Bearer {KEY}"}})
                if method == "initialize":
                    return self.tell(200, {"jsonrpc": "2.0", "id": body["id"], "result": {
                        "protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "instructions": KEY,
                        "serverInfo": {"name": KEY, "version": KEY}}})
                if "id" not in body:
                    return self.tell(202, "")
                if method == f"tools/{when}":
                    tools.reached.add(name)
                    return self.tell(status, value if member is None else
                                     {"jsonrpc": "2.0", "id": body["id"], member: value})
                if method == "tools/list":
                    return self.tell(200, {"jsonrpc": "2.0", "id": body["id"], "result": {"tools": [
                        {"name": "look", "inputSchema": {"type": "object"}}]}})
                tools.reached.add(name)
                return self.tell(200, {"jsonrpc": "2.0", "id": body["id"], "result": {"content": [
                    {"type": "text", "text": "fine"}]}})

            def tell(self, status, answer):
                self.send(status, "text/html" if isinstance(answer, str) else "application/json", answer,
                          {"WWW-Authenticate": f'Bearer error="{KEY}"'})

        self.listen(Handler)

    def config(self):
        return "".join(f'[[mcp_server]]\nlabel = "{name}"\nurl = "{self.url}/{name}"\n'
                       f'authorization_env = "THE_KEY"\n' for name in MCP_CASES)

    def tool(self, name):
        return {"type": "mcp", "server_label": "desk",
                "transport": {"type": "http", "server_url": f"{self.url}/{name}"}}


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


    def see_tools(self, value):
        """With what the variable holds: the bare token, or a scheme before it."""
        tools, model = EchoingTools(), Model()
        self.addCleanup(tools.close)
        self.addCleanup(model.close)
        server = Server(os.environ["PERDURE_BINARY"], self.directory, model.config() + tools.config(),
                        environment={"THE_KEY": value, "PERDURE_LOG_LEVEL": "debug"})
        self.addCleanup(server.close)
        server.start()
        shown, leaks = [], []
        for name in MCP_CASES:
            # The model calls whatever of these it is offered.
            body = {"agent": {"model": "test", "tools": [tools.tool(name)]}, "environment": {"type": "none"},
                    "input": "use desk__look look fine", "stream": True}
            events = [event for _, event in server.stream("/v1/agents/sessions", body)]
            session = next(event["session"]["id"] for event in events if "session" in event)
            view = server.wait_for(session, "idle", "failed", "requires_action")
            self.assertIn(view["status"], ("idle", "failed"), (name, view))
            seen = [events, view]
            path = f"/v1/agents/sessions/{session}"
            for more in ("", "/items?include_incomplete=true", "/turns", "/items?order=asc"):
                seen.append(server.request("GET", path + more))
            if KEY in repr(seen):
                leaks.append(name)
            shown.append(seen)
        for path in ("/metrics", "/v1/models", "/readyz"):
            shown.append(server.request("GET", path))
        server.stop()
        server.log.flush()
        self.assertEqual(tools.reached, set(MCP_CASES), "the test saw less than it says")
        self.assertEqual(leaks, [], "answers and events have the credential")
        self.assertNotIn(KEY, repr(shown))
        # What the model is sent is what the journal has, and it belongs to somebody else.
        self.assertNotIn(KEY, repr(model.requests))
        # A part of it is as good as a hint; a run this long is never chance.
        for path, data in self.everything_written():
            self.assertNotIn(KEY.encode(), data, path)
            self.assertNotIn(KEY[:12].encode(), data, path)
        self.assertEqual(tools.headers_with_key, {"authorization"})

    def test_mcp_server_with_a_bare_token(self):
        self.see_tools(KEY)

    def test_mcp_server_with_a_scheme(self):
        self.see_tools(f"Token {KEY}")


def case(kind):
    return lambda self: self.see(kind)


for each in KINDS:
    setattr(NoKeyLeaves, f"test_{each.replace('-', '_')}", case(each))


if __name__ == "__main__":
    result = unittest.main(exit=False, verbosity=1).result
    bad = len(result.failures) + len(result.errors)
    print(f"{result.testsRun - bad} passed, {bad} failed")
    sys.exit(bad > 0)
