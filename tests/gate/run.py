#!/usr/bin/env python3
"""The output gate: nothing leaves before the commit it depends on.

The unmodified binary runs under gate_shim.so, which holds its flushes. For each change of a session
the test holds the flush, sends the request, waits until the server stands at the gate, and then
watches every socket that could reveal the change: the reply, an open event stream, the model. None
may get a byte (deltas of an earlier, committed model call excepted: there are none here). Then it
lets the flush go, and all of them must. A server that acknowledges early cannot pass; a slow machine
cannot make a right one fail.

    run.py --binary perdure --shim gate_shim.so
"""

import argparse
import os
import queue
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from perdure_test import HANG, LOOK, Model, Scratch, Server, message, tool_result  # noqa: E402

WATCH = 0.4  # seconds of silence to watch for; only a wrong server is sensitive to it


class Gate:
    def __init__(self, directory):
        self.hold_path = os.path.join(directory, "hold")
        self.held_path = os.path.join(directory, "held")

    def hold(self):
        if os.path.exists(self.held_path):
            os.unlink(self.held_path)
        open(self.hold_path, "w", encoding="ascii").close()

    def wait_until_held(self):
        end = time.monotonic() + HANG
        while not os.path.exists(self.held_path):
            assert time.monotonic() < end, "the server never came to the gate: nothing was flushed"
            time.sleep(0.002)

    def release(self):
        os.unlink(self.hold_path)


class Stream(threading.Thread):
    """Follows a session's events and puts their types into a queue."""

    def __init__(self, server, session):
        super().__init__(daemon=True)
        self.events = queue.Queue()
        self.server, self.session = server, session
        self.start()

    def run(self):
        for _, event in self.server.stream(f"/v1/agents/sessions/{self.session}/events"):
            self.events.put(event["type"])

    def wait_for(self, wanted):
        while self.events.get(timeout=HANG) != wanted:
            pass


def in_background(action):
    """Starts a request; returns a queue that gets its answer."""
    answers = queue.Queue()
    threading.Thread(target=lambda: answers.put(action()), daemon=True).start()
    return answers


class Test:
    def __init__(self, server, model, gate):
        self.server, self.model, self.gate = server, model, gate
        self.failures = []

    def step(self, name, action, stream, expected_event, calls_model):
        """One change under a held flush."""
        calls = self.model.count()
        self.gate.hold()
        answers = in_background(action)
        self.gate.wait_until_held()
        time.sleep(WATCH)
        early = []
        if not answers.empty():
            early.append(f"its reply ({answers.get()[0]})")
            answers = None
        if stream and not stream.events.empty():
            early.append(f"the event {stream.events.get()}")
        if self.model.count() != calls:
            early.append("a model call")
        self.gate.release()
        for what in early:
            self.failures.append(f"{name}: {what} left before the flush")
        if answers:
            status = answers.get(timeout=HANG)
            assert status[0] in (200, 201, 202), (name, status)
        if stream:
            stream.wait_for(expected_event)
        end = time.monotonic() + HANG
        while calls_model and self.model.count() == calls:
            assert time.monotonic() < end, f"{name}: the model was never called"
            time.sleep(0.002)
        print(f"{'FAILED' if early else 'ok    '} {name}")
        return status[2] if answers and not early else None

    def result_step(self, session, stream):
        """The result of a model call: its durable events wait for its commit."""
        self.model.gate.clear()
        status = self.server.send(session, [message("omega")])[0]
        assert status == 202, status
        stream.wait_for("agent.session.turn.in_progress")
        self.gate.hold()
        self.model.gate.set()
        self.gate.wait_until_held()
        time.sleep(WATCH)
        early = []
        while not stream.events.empty():
            kind = stream.events.get()
            volatile = kind.endswith(("item.added", "content_part.added", "output_text.delta"))
            if not volatile:
                early.append(kind)
        shown = self.server.get(session)["status"]
        if shown != "in_progress":
            early.append(f"a GET that says {shown}")
        self.gate.release()
        stream.wait_for("agent.session.idle")
        for what in early:
            self.failures.append(f"a model call's end: {what} left before the flush")
        print(f"{'FAILED' if early else 'ok    '} a model call's end")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--shim", required=True)
    options = parser.parse_args()
    with Scratch() as directory:
        model = Model()
        server = Server(os.path.realpath(options.binary), directory, model.config())
        gate = Gate(directory)
        try:
            server.start({"LD_PRELOAD": os.path.realpath(options.shim), "GATE_DIR": directory})
            test = Test(server, model, gate)
            test.step("creating a session", lambda: server.create("alpha", "a", [LOOK]), None, None, True)
            session = server.create("beta", "b", [LOOK])[2]["id"]
            server.wait_for(session, "idle")
            stream = Stream(server, session)
            stream_ready(server, session, stream)
            test.step("a message", lambda: server.send(session, [message("tool please")]), stream,
                      "agent.session.turn.in_progress", True)
            action = server.wait_for(session, "requires_action")["required_actions"][0]
            stream.wait_for("agent.session.requires_action")
            test.step("a tool's result", lambda: server.send(session, [tool_result(action, "seen")]),
                      stream, "agent.session.in_progress", True)
            stream.wait_for("agent.session.idle")
            test.result_step(session, stream)
            model.gate.clear()
            calls = model.count()
            server.send(session, [message("to be cancelled")])
            stream.wait_for("agent.session.turn.in_progress")
            while model.count() == calls:  # the call to be cancelled is no call that leaves early
                time.sleep(0.002)
            test.step("a cancel", lambda: server.send(session, [{"type": "agent.session.input.cancel"}]),
                      stream, "agent.session.turn.cancelled", False)
            model.gate.set()
            stream.wait_for("agent.session.idle")
            test.step("deleting a session",
                      lambda: server.request("DELETE", f"/v1/agents/sessions/{session}"), None, None, False)
            server.stop()
        finally:
            server.close()
            model.close()
    steps = 6
    failed = min(steps, len({failure.split(":")[0] for failure in test.failures}))
    for failure in test.failures:
        print("FAILED", failure)
    print(f"{steps - failed} passed, {failed} failed")
    return 1 if failed else 0


def stream_ready(server, session, stream):
    """A stream that has shown an event is open: one harmless turn is the proof."""
    while True:
        assert server.send(session, [message("hello")])[0] == 202
        server.wait_for(session, "idle")
        try:
            while stream.events.get(timeout=1) != "agent.session.idle":
                pass
            return
        except queue.Empty:
            continue


if __name__ == "__main__":
    sys.exit(main())
