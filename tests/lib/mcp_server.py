"""A counting MCP server: its tools do nothing but remember how often each call had its effect.

It lives outside of the process that is killed. Standard library only. `book` is opaque, `put` is
idempotent (a second call with the same key has no second effect), `look` only reads. It speaks the
modern protocol (revision 2026-07-28) or the one before it.
"""

import collections
import http.server
import json
import threading

from perdure_test import HANG

MODERN = "2026-07-28"
LEGACY = "2025-11-25"
TOOLS = [
    {"name": "book", "description": "Books a seat.", "inputSchema": {"type": "object"}},
    {"name": "put", "description": "Puts a value.", "inputSchema": {"type": "object"},
     "annotations": {"idempotentHint": True}},
    {"name": "look", "description": "Looks.", "inputSchema": {"type": "object"},
     "annotations": {"readOnlyHint": True}},
]


class McpServer:
    """`calls` counts the requests to call a tool, by tool and key."""

    def __init__(self, modern=True):
        server = self
        self.modern = modern
        self.lock = threading.Lock()
        self.calls = collections.Counter()
        self.lists = 0
        self.sessions = set()
        # Cleared: what is counted is not answered.
        self.list_gate, self.call_gate = threading.Event(), threading.Event()
        self.open_gates()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                try:
                    self.serve(body)
                except OSError:
                    pass  # the caller was killed

            def serve(self, body):
                method = body.get("method")
                if server.modern and self.headers.get("MCP-Protocol-Version") != MODERN:
                    return self.refuse(body, -32020, "the header fields do not match")
                if server.modern and self.headers.get("Mcp-Method") != method:
                    return self.refuse(body, -32020, "the header fields do not match")
                if not server.modern and method == "initialize":
                    with server.lock:
                        session = f"session-{len(server.sessions)}"
                        server.sessions.add(session)
                    return self.answer(body, {"protocolVersion": LEGACY, "capabilities": {"tools": {}},
                                              "serverInfo": {"name": "counter", "version": "1"}}, session)
                if not server.modern and self.headers.get("Mcp-Session-Id") not in server.sessions:
                    return self.refuse(body, -32000, "no session")
                if method == "notifications/initialized":
                    return self.send(202, b"")
                if method == "server/discover":
                    return self.answer(body, {"supportedVersions": [MODERN], "capabilities": {"tools": {}}})
                if method == "tools/list":
                    with server.lock:
                        server.lists += 1
                    server.list_gate.wait(HANG)
                    return self.answer(body, {"tools": TOOLS})
                if method == "tools/call":
                    params = body["params"]
                    name = params["name"]
                    with server.lock:
                        server.calls[name, params["_meta"]["perdure/idempotencyKey"]] += 1
                    server.call_gate.wait(HANG)
                    return self.answer(body, {"content": [{"type": "text", "text": f"{name}: done"}]})
                return self.refuse(body, -32601, "no such method")

            def answer(self, body, result, session=None):
                self.send(200, json.dumps({"jsonrpc": "2.0", "id": body["id"], "result": result}).encode(),
                          session)

            def refuse(self, body, code, message):
                error = {"jsonrpc": "2.0", "id": body.get("id"), "error": {"code": code, "message": message}}
                self.send(400, json.dumps(error).encode())

            def send(self, status, data, session=None):
                self.send_response(status)
                if session:
                    self.send_header("Mcp-Session-Id", session)
                if data:
                    self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        class Listener(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_):
                pass  # a connection that the kill has reset

        self.server = Listener(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def tool(self, label="counter"):
        """The server as an agent's tool."""
        url = f"http://127.0.0.1:{self.server.server_address[1]}/mcp"
        return {"type": "mcp", "server_label": label, "transport": {"type": "http", "server_url": url}}

    def count(self, name):
        """Requests to call the tool, by key."""
        with self.lock:
            return {key: count for (tool, key), count in self.calls.items() if tool == name}

    def open_gates(self):
        self.list_gate.set()
        self.call_gate.set()

    def close(self):
        self.open_gates()
        self.server.shutdown()
        self.server.server_close()
