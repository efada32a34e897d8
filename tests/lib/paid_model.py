"""A model that is paid by the token and that goes wrong in every way that costs: it outlives every crash.

A chat-completions server. What becomes of a request is drawn from the seed, the text of its last
message and how often that came, so it does not depend on the order in which requests arrive:

  answered   with usage, now and then for more tokens than anybody expected
  untold     answered without usage
  cut        the connection ends in the middle of the answer, in half of the cases with usage before
  refused    500 or 503, to be tried again
  denied     400, which ends the turn

A message that begins with "brief" never costs more than its estimate, one with "exact" is answered
with usage, one with "hold" waits for the gate too. It fails less than half of ten calls, mostly:
its pool would be left alone for seconds. Standard library only.
"""

import http.server
import json
import random
import sys
import threading
import time

from perdure_test import HANG

MOST = 200  # output tokens that are expected at most: `max_output_tokens`


class PaidModel:
    def __init__(self, seed):
        model = self
        self.seed = seed
        self.lock = threading.Lock()
        self.gate = threading.Event()
        self.well = False  # True: nothing goes wrong any more
        self.requests = []  # in the order of their coming
        self.times = {}  # (text, how often it has come)

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                request, chance = model.admit(self.headers.get("Idempotency-Key"), body)
                try:
                    if request["text"].startswith("hold"):
                        model.gate.wait(HANG)
                    time.sleep(chance.random() * (0.3 if chance.random() < 0.1 else 0.02))
                    if request["fate"] in ("refused", "denied"):
                        self.refuse(400 if request["fate"] == "denied" else chance.choice((500, 503)))
                    else:
                        self.stream(request, chance)
                except OSError:
                    pass  # the caller was killed

            def refuse(self, status):
                word = "invalid_request_error" if status == 400 else "server_error"
                data = json.dumps({"error": {"message": "not now", "type": word}}).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.send_header("Retry-After-Ms", "5")
                self.end_headers()
                self.wfile.write(data)

            def stream(self, request, chance):
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Connection", "close")
                self.end_headers()
                self.close_connection = True
                cut = request["fate"] == "cut"
                self.chunk(request, {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})
                if cut and request["usage"]:
                    self.chunk(request, {"choices": [], "usage": request["usage"]})
                for piece in ("I heard: ", request["text"])[: chance.randrange(3) if cut else 2]:
                    self.chunk(request, {"choices": [{"index": 0, "delta": {"content": piece}}]})
                    time.sleep(chance.random() * 0.02)
                if cut:
                    return
                self.chunk(request, {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
                if request["usage"]:
                    self.chunk(request, {"choices": [], "usage": request["usage"]})
                self.wfile.write(b"data: [DONE]\n\n")

            def chunk(self, request, value):
                value = {"id": request["id"], "object": "chat.completion.chunk", "model": "paid", **value}
                self.wfile.write(b"data: " + json.dumps(value).encode() + b"\n\n")
                self.wfile.flush()

            def log_message(self, *_):
                pass

        class Listener(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 1024

            def handle_error(self, request, client_address):
                if not isinstance(sys.exc_info()[1], OSError):  # the caller was killed
                    super().handle_error(request, client_address)

        self.server = Listener(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def admit(self, key, body):
        """Writes the request down, before anything of it is answered, with what will become of it."""
        def text_of(message):
            content = message["content"]
            return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)

        said = [text_of(message) for message in body["messages"] if message["role"] == "user"]
        with self.lock:
            times = self.times[said[-1]] = self.times.get(said[-1], 0) + 1
            chance = random.Random(f"{self.seed} {said[-1]} {times}")
            fate = chance.choices(("answered", "untold", "cut", "refused", "denied"), (75, 9, 8, 5, 3))[0]
            usage = self.usage(chance, said[-1].startswith("brief"))
            if self.well or said[-1].startswith(("exact", "hold")):
                fate, usage = "answered", self.usage(chance, True)
            if fate in ("untold", "refused", "denied") or (fate == "cut" and chance.random() < 0.5):
                usage = None
            request = {"key": key, "first": said[0], "text": said[-1], "fate": fate, "usage": usage,
                       "id": f"chatcmpl-{len(self.requests)}"}
            self.requests.append(request)
        return request, chance

    @staticmethod
    def usage(chance, brief):
        given = chance.randrange(1, 6) if brief else chance.randrange(10, 120)
        cached = chance.randrange(given)
        written = chance.randrange(given - cached)
        made = chance.randrange(2, MOST // 2 if brief else MOST * 3 // 2)
        return {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made,
                "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
                "completion_tokens_details": {"reasoning_tokens": chance.randrange(made)}}

    def seen(self):
        with self.lock:
            return list(self.requests)

    def count(self):
        with self.lock:
            return len(self.requests)

    def close(self):
        self.gate.set()
        self.server.shutdown()
        self.server.server_close()
