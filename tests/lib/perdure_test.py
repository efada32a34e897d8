"""What the system tests share: a perdure process, a model it talks to, a client. Standard library only.

The client is deliberately plain (one connection a request, every byte visible) and knows nothing of
the server's insides. Nothing here sleeps to be green: waits end when what they wait for is there, or
fail after a generous bound that only a hang reaches.
"""

import http.client
import http.server
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

HANG = 60.0  # seconds: no test asserts a time, but a hang must end


class ServerDied(Exception):
    """The process is gone, or cut the connection: try again after a restart."""


class Server:
    """A perdure process over a directory that outlives it."""

    def __init__(self, binary, directory, config, environment=None, arguments=()):
        self.binary = binary
        self.directory = directory
        self.data = os.path.join(directory, "data")
        self.config = os.path.join(directory, "perdure.toml")
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(config)
        self.environment = environment or {}
        self.arguments = list(arguments)
        self.log = open(os.path.join(directory, "server.log"), "ab")
        self.process = None
        self.host, self.port = "127.0.0.1", 0
        self.token = "test"
        self.command = "dev"
        self.patience = HANG
        self.workstream = None  # of the sessions that it creates
        self.prefix = []  # what starts it, as "ip netns exec NAME"

    def start(self, environment=None, wait=True):
        """Starts it; with `wait` returns when it is ready. ServerDied if it dies before."""
        info = os.path.join(self.data, "server.json")
        if os.path.exists(info):
            os.unlink(info)
        variables = {
            "PATH": os.environ["PATH"],
            "HOME": self.directory,
            "XDG_CONFIG_HOME": os.path.join(self.directory, "config"),
            # The planted bug that tests/teeth asks for, and what a sanitised build needs.
            **{name: os.environ[name] for name in ("PERDURE_BUG", "ASAN_OPTIONS") if name in os.environ},
            **self.environment,
            **(environment or {}),
        }
        self.process = subprocess.Popen(
            [*self.prefix, self.binary, self.command, "--config", self.config, "--data-dir", self.data,
             *(self.arguments or ["--listen", "127.0.0.1:0"])],
            env=variables, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
        )
        if not wait:
            return self
        end = time.monotonic() + HANG
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise ServerDied(f"exit status {self.process.returncode}")
            try:
                with open(info, encoding="utf-8") as file:
                    self.port = int(json.load(file)["url"].rsplit(":", 1)[1])
                if self.request("GET", "/readyz")[0] == 200:
                    return self
            except (OSError, ValueError, ServerDied):
                pass
            time.sleep(0.01)
        raise AssertionError("perdure did not become ready")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(HANG)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError("perdure did not end after SIGTERM") from None

    def close(self):
        if self.process and self.process.poll() is None:
            self.kill()
        self.log.close()

    def request(self, method, path, body=None, headers=None):
        """(status, headers, parsed body). ServerDied where there is no whole answer."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=self.patience)
        try:
            fields = {"Authorization": f"Bearer {self.token}", **(headers or {})}
            text = None
            if body is not None:
                text = json.dumps(body)
                fields["Content-Type"] = "application/json"
            connection.request(method, path, text, fields)
            answer = connection.getresponse()
            data = answer.read()
            return answer.status, dict(answer.getheaders()), json.loads(data) if data and data[:1] in b"{[" else data
        except (OSError, http.client.HTTPException) as error:
            raise ServerDied(str(error)) from error
        finally:
            connection.close()

    def stream(self, path, body=None, headers=None):
        """Yields (id or None, event) of an SSE answer until it ends. ServerDied when it is cut off."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=self.patience)
        try:
            fields = {"Authorization": f"Bearer {self.token}", **(headers or {})}
            text = None
            if body is not None:
                text = json.dumps(body)
                fields["Content-Type"] = "application/json"
            connection.request("POST" if body is not None else "GET", path, text, fields)
            answer = connection.getresponse()
            assert answer.status in (200, 201), (answer.status, answer.read())
            name, data = None, []
            for raw in answer:
                line = raw.decode("utf-8").rstrip("\n")
                if line.startswith("id:"):
                    name = line[3:].strip()
                elif line.startswith("data:"):
                    data.append(line[5:].strip())
                elif not line and data:
                    yield name, json.loads("\n".join(data))
                    name, data = None, []
        except (OSError, http.client.HTTPException) as error:
            raise ServerDied(str(error)) from error
        finally:
            connection.close()

    # What tests do with sessions.

    def create(self, text, key=None, tools=(), model="test"):
        body = {
            "agent": {"model": model, "tools": list(tools)},
            "environment": {"type": "none"},
            "input": text,
        }
        headers = {"Idempotency-Key": key, "X-Perdure-Workstream": self.workstream}
        return self.request("POST", "/v1/agents/sessions", body,
                            {name: value for name, value in headers.items() if value})

    def send(self, session, events, key=None):
        return self.request("POST", f"/v1/agents/sessions/{session}/events", {"events": events},
                            {"Idempotency-Key": key} if key else None)

    def get(self, session):
        status, _, body = self.request("GET", f"/v1/agents/sessions/{session}")
        assert status == 200, (status, body)
        return body

    def wait_for(self, session, *statuses):
        end = time.monotonic() + HANG
        while time.monotonic() < end:
            view = self.get(session)
            if view["status"] in statuses:
                return view
            time.sleep(0.01)
        raise AssertionError(f"session {session} stayed {view['status']}")

    def items(self, session):
        items, after = [], ""
        while True:
            status, _, page = self.request(
                "GET", f"/v1/agents/sessions/{session}/items?order=asc&limit=100{after}")
            assert status == 200, (status, page)
            items += page["data"]
            if not page["has_more"]:
                return items
            after = f"&after={page['last_id']}"


def message(text):
    return {"type": "agent.session.input.message",
            "input": [{"role": "user", "content": [{"type": "input_text", "text": text}]}]}


def tool_result(action, output):
    return {"type": "agent.session.input.tool_result", "turn_id": action["turn_id"],
            "call_id": action["call_id"], "success": True, "output": output}


LOOK = {"type": "function", "name": "look", "description": "Looks.",
        "parameters": {"type": "object", "properties": {}}}


class Model:
    """A chat-completions server in this process: it outlives every crash, and counts.

    The answer depends on the request alone: a last user message with "tool" in it makes it call
    `look`, one with "use" and names of tools calls these (`tool_search` with that message); anything else is
    echoed, a tool's result too, and what must be JSON is so at the second try.
    With `at_most` it answers 429 to what comes while so many requests run, with `only` 404 to what asks for
    a model of another name.
    """

    def __init__(self, at_most=None, only=None, address="127.0.0.1"):
        model = self
        self.running = self.most_running = self.refused = 0
        self.requests = []
        self.lock = threading.Lock()
        self.gate = threading.Event()  # cleared: answers wait
        self.gate.set()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.answer(200, {"object": "list", "data": [{"id": "test", "object": "model"}]})

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with model.lock:
                    model.requests.append(body)
                    model.running += 1
                    model.most_running = max(model.most_running, model.running)
                    too_many = at_most is not None and model.running > at_most
                    model.refused += too_many
                try:
                    if only is not None and body["model"] != only:
                        self.answer(404, {"error": {"message": f"The model '{body['model']}' does not exist",
                                                    "type": "invalid_request_error", "code": "model_not_found"}})
                    elif too_many:
                        self.answer(429, {"error": {"message": "too many", "type": "rate_limit_error"}})
                    else:
                        model.gate.wait(HANG)
                        self.stream(body)
                except OSError:
                    pass  # the caller was killed
                finally:
                    with model.lock:
                        model.running -= 1

            def answer(self, status, body):
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def stream(self, body):
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Connection", "close")
                self.end_headers()
                self.close_connection = True
                last = body["messages"][-1]
                content = last["content"]
                if not isinstance(content, str):
                    content = "".join(part.get("text", "") for part in content)
                deltas = [{"role": "assistant", "content": ""}]
                finish = "stop"
                named = [tool["function"]["name"] for tool in body.get("tools") or ()
                         if last["role"] == "user" and content.startswith("use ")
                         and tool["function"]["name"] in content]
                if named:
                    deltas += [{"tool_calls": [{"index": index, "id": f"call_{len(body['messages'])}_{index}",
                                                "type": "function",
                                                "function": {"name": name, "arguments": json.dumps(
                                                    {"query": content} if name == "tool_search" else {})}}]}
                               for index, name in enumerate(named)]
                    finish = "tool_calls"
                elif last["role"] == "user" and "tool" in content and body.get("tools"):
                    call = {"index": 0, "id": f"call_{len(body['messages'])}", "type": "function",
                            "function": {"name": "look", "arguments": "{}"}}
                    deltas.append({"tool_calls": [call]})
                    finish = "tool_calls"
                elif "response_format" in body:  # right at the second try
                    right = content.startswith("[Your answer was not accepted")
                    deltas.append({"content": '{"heard": 1}' if right else "I heard it."})
                else:
                    deltas += [{"content": piece} for piece in ("I heard: ", content)]
                for delta in deltas:
                    self.chunk({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
                self.chunk({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
                self.chunk({"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 5,
                                                     "total_tokens": 15}})
                self.wfile.write(b"data: [DONE]\n\n")

            def chunk(self, value):
                value = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "test", **value}
                self.wfile.write(b"data: " + json.dumps(value).encode() + b"\n\n")
                self.wfile.flush()

            def log_message(self, *_):
                pass

        class Listener(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 1024  # the default, 5, resets connections when sessions come back at once

        self.server = Listener((address, 0), Handler)
        self.url = f"http://{address}:{self.server.server_address[1]}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def count(self):
        with self.lock:
            return len(self.requests)

    def config(self, more=""):
        return f'[[provider]]\nname = "test"\nkind = "openai-chat"\nbase_url = "{self.url}"\n{more}'

    def close(self):
        self.gate.set()
        self.server.shutdown()
        self.server.server_close()


class Scratch:
    """A directory of its own, removed at the end."""

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="perdure-test-")
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)


def receive_nothing(connection, seconds):
    """True if the socket stays silent that long."""
    connection.settimeout(seconds)
    try:
        return connection.recv(1, socket.MSG_PEEK) == b"" and False
    except (TimeoutError, socket.timeout):
        return True
