#!/usr/bin/env python3
"""Kills the server, and cuts its power, at every write and sync of a scenario.

The unmodified binary runs under the power-loss shim (tests/power_loss) and dies at a chosen point.
A client outside — which, like any good client, repeats a request that got no answer with the same
Idempotency-Key — starts it again and goes on. At the end the transcript must be what it is without a
crash, everything that was acknowledged must still be there, and nothing twice.

    sweep.py --binary perdure --shim power_loss_shim.so [--seconds 60] [--modes kill,power]
             [--scenario session|mcp|compaction|functions|update|format|whole]
             [--point N --mode M --seed S]      one run alone, as a failure prints it

The scenario `mcp` has a server of tools outside, which counts: an opaque call must never be made
twice, a repeatable one only with the same key. Its mode `hold` needs no shim: the server is killed
while the list of tools (point 1) or the calls (point 2) are being answered, in both protocols.

In the scenario `update` the session is changed in a turn that runs: its tools count at once, its
reasoning effort from the next turn on.

In the scenario `format` every answer must follow a schema, and the first of each turn does not; the model
is told the time.

In the scenario `compaction` the conversation outgrows the model's context window, and a call that
summarises it comes before one that answers.

In the scenario `functions` the model searches for a function, calls it, and calls another whose result comes
when its turn is over.

In the scenario `whole` one session has all that can come while it works: a message that steers a running turn,
a turn that is cancelled, a compaction, and an async function whose result comes late, and twice.

The windows in which the server died are read from what it left on disk; a window that was never hit
fails the test, because then the sweep showed less than it says.
"""

import argparse
import collections
import concurrent.futures
import os
import random
import shutil
import sqlite3
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from mcp_server import McpServer  # noqa: E402
from perdure_test import HANG, LOOK, Model, Scratch, Server, ServerDied, message, tool_result  # noqa: E402

Run = collections.namedtuple("Run", "mode point seed")
WINDOWS = ("before intent", "between intent and result", "after result")


class Scenario:
    """One client's work: four requests that change something, repeated until each is acknowledged."""

    windows = WINDOWS
    turns = 3
    statuses = None  # of its turns, where not all are completed
    said = ["alpha", "tool please", "omega"]

    @staticmethod
    def config(model):
        return model.config()

    def __init__(self, server, on_death, outside=None):
        self.server = server
        self.outside = outside  # the server of tools
        self.on_death = on_death
        self.acknowledged = {}  # key: (status, body)
        self.session = None

    def surely(self, action):
        for _ in range(20):
            try:
                return action()
            except ServerDied:
                self.on_death()
        raise AssertionError("the server dies again and again")

    def change(self, key, action):
        status, _, body = self.surely(lambda: action(key))
        assert status in (200, 201, 202), (key, status, body)
        self.acknowledged[key] = (status, body)
        return body

    def wait(self, status):
        return self.surely(lambda: self.server.wait_for(self.session, status))

    def run(self):
        server = self.server
        self.session = self.change("create", lambda key: server.create("alpha", key, [LOOK]))["id"]
        self.wait("idle")
        self.change("tool", lambda key: server.send(self.session, [message("tool please")], key))
        action = self.wait("requires_action")["required_actions"][0]
        self.change("result", lambda key: server.send(self.session, [tool_result(action, "seen")], key))
        self.wait("idle")
        self.change("omega", lambda key: server.send(self.session, [message("omega")], key))
        self.wait("idle")
        return self

    def transcript(self):
        lines = []
        for item in self.surely(lambda: self.server.items(self.session)):
            content = item.get("content") or item.get("output") or item.get("name")
            text = "".join(part["text"] for part in content) if isinstance(content, list) else content
            lines.append(f"{item['type']} {item['status']}: {text}")
        return lines

    def tools(self):
        return [LOOK]

    def check_transcript(self, expected, _window):
        transcript = self.transcript()
        assert transcript == expected, "the transcript differs:\n  " + "\n  ".join(transcript)
        return transcript

    def check(self, expected, model, window=None):
        expected = self.check_transcript(expected, window)
        turns = self.surely(
            lambda: self.server.request("GET", f"/v1/agents/sessions/{self.session}/turns"))[2]["data"]
        statuses = [turn["status"] for turn in reversed(turns)]  # the list has the newest first
        assert statuses == (self.statuses or ["completed"] * self.turns), turns
        # What was acknowledged is acknowledged the same way again, and changes nothing.
        again = self.surely(self.repeat_creation)
        assert again[0] == 201 and again[2] == self.acknowledged["create"][1], again
        assert self.surely(lambda: self.server.send(self.session, [message(self.said[-1])], "omega"))[0] == 202
        assert self.transcript() == expected, "a repeated request was carried out twice"
        self.check_search()
        # Every request the model saw had everything acknowledged before it in its context, once.
        with model.lock:
            requests = list(model.requests)
        self.check_requests(requests)

    def check_search(self):
        """Every message is found, and once: the index has followed the journal through the crash."""
        words = "+".join(["heard", *(text.split()[0] for text in self.said)])
        status, _, page = self.surely(lambda: self.server.request("GET", f"/api/search?q={words}&limit=100"))
        assert status == 200 and page["complete"], (status, page)
        found = [hit["item"] for hit in page["data"] if hit["kind"] == "message"]
        messages = [item["id"] for item in self.surely(lambda: self.server.items(self.session))
                    if item["type"] == "message"]
        assert sorted(found) == sorted(messages), f"found {found} of {messages}"

    def check_requests(self, requests):
        for request in requests:
            said = [part["content"] for part in request["messages"] if part["role"] == "user"]
            flat = [text if isinstance(text, str) else text[0]["text"] for text in said]
            assert flat == self.said[: len(flat)], flat

    def repeat_creation(self):
        return self.server.create(self.said[0], "create", self.tools())

    @staticmethod
    def window(database):
        """Where in the life of an effect the server died."""
        open_effects = database.execute("select count(*) from effect").fetchone()[0]
        entries = database.execute("select count(*) from journal").fetchone()[0]
        if open_effects:
            return WINDOWS[1]
        return WINDOWS[2] if entries else WINDOWS[0]


class SessionScenario(Scenario):
    """The same in a workstream, which the creation makes."""

    def __init__(self, server, on_death, outside=None):
        super().__init__(server, on_death, outside)
        server.workstream = "sweep"

    def check_search(self):
        super().check_search()
        status, _, one = self.surely(lambda: self.server.request("GET", "/api/workstreams/sweep"))
        assert status == 200 and one["open"], (status, one)
        assert self.surely(lambda: self.server.get(self.session))["workstream"] == "sweep"


class McpScenario(Scenario):
    """The same with calls of a server's tools, one of them opaque; windows are those of the calls."""

    windows = ("before intent", "between intent and result", "between result and event", "after the call")
    said = ["alpha", "use counter__book and counter__put", "omega"]

    def tools(self):
        return [self.outside.tool()]

    def begin(self):
        self.session = self.change("create", lambda key: self.server.create("alpha", key, self.tools()))["id"]
        self.wait("idle")

    def run(self):
        server = self.server
        self.begin()
        self.change("use", lambda key: server.send(self.session, [message(self.said[1])], key))
        self.wait("idle")
        self.change("omega", lambda key: server.send(self.session, [message("omega")], key))
        self.wait("idle")
        return self

    def calls(self):
        """(name, status) of the session's calls, unfinished ones too."""
        status, _, page = self.surely(lambda: self.server.request(
            "GET", f"/v1/agents/sessions/{self.session}/items?order=asc&limit=100&include_incomplete=true"))
        assert status == 200, (status, page)
        return [(item["name"], item["status"]) for item in page["data"] if item["type"] == "mcp_call"]

    def check_transcript(self, expected, window):
        calls = self.calls()
        assert [name for name, _ in calls] == ["book", "put"], calls
        book, put = (status for _, status in calls)
        booked, was_put = self.outside.count("book"), self.outside.count("put")
        assert max(booked.values(), default=0) <= 1 and len(booked) <= 1, f"an opaque call was repeated: {booked}"
        assert put == "completed" and len(was_put) == 1, (put, was_put)
        may_be_unknown = window == self.windows[1]
        assert book == "completed" or (may_be_unknown and book == "incomplete"), (book, window)
        if book == "completed":
            assert len(booked) == 1, "a call that is said to have happened did not"
        transcript = self.transcript()
        if book == "completed" and expected:
            assert sorted(transcript) == sorted(expected), "the transcript differs:\n  " + "\n  ".join(transcript)
        return transcript

    @staticmethod
    def window(database):
        kinds = [kind for (kind,) in database.execute("select kind from journal order by seq")]
        begun, ended = kinds.count(40), sum(kind in (41, 42) for kind in kinds)
        if not begun:
            return McpScenario.windows[0]
        if ended < 2:
            return McpScenario.windows[1]
        last = max(index for index, kind in enumerate(kinds) if kind in (41, 42))
        return McpScenario.windows[3 if 21 in kinds[last:] else 2]


class CompactionScenario(Scenario):
    """Three messages, the second of which no longer fits beside the first; windows are the summary's."""

    windows = ("before intent", "between intent and result", "after result")
    said = ["alpha " * 100, "beta " * 540, "omega"]

    @staticmethod
    def config(model):
        return model.config(
            '[[model]]\nname = "test"\nprovider = "test"\ncontext_window = 1024\n')

    def tools(self):
        return []

    def run(self):
        server = self.server
        self.session = self.change("create", lambda key: server.create(self.said[0], key, []))["id"]
        self.wait("idle")
        self.change("beta", lambda key: server.send(self.session, [message(self.said[1])], key))
        self.wait("idle")
        self.change("omega", lambda key: server.send(self.session, [message(self.said[2])], key))
        self.wait("idle")
        return self

    def check_requests(self, requests):
        summaries = 0
        for request in requests:
            said = [part["content"] for part in request["messages"] if part["role"] == "user"]
            flat = [text if isinstance(text, str) else text[0]["text"] for text in said]
            if request["messages"][0]["content"].startswith("You shorten a conversation"):
                summaries += 1
                assert "alpha alpha" in flat[0], flat
            elif len(flat) == 1:
                assert flat == self.said[:1], flat
            else:
                assert "alpha alpha" in flat[0] and flat[0].startswith("[The beginning"), flat
                assert flat[1:] == self.said[1: len(flat)], flat
        assert 1 <= summaries <= 2, summaries

    @staticmethod
    def window(database):
        kinds = [kind for (kind,) in database.execute("select kind from journal order by seq")]
        if 60 not in kinds:
            return CompactionScenario.windows[0]
        return CompactionScenario.windows[2 if 61 in kinds else 1]


class FunctionsScenario(Scenario):
    """A function that is found by a search, and one whose result is late; windows are those of the two."""

    windows = ("before the search", "between search and call", "while it runs", "after its late result")
    said = ["alpha", "use tool_search to note", "use note and render", "late", "omega"]
    turns = 5

    def tools(self):
        return [{"type": "tool_search"},
                {"type": "function", "name": "render", "description": "Renders.", "async": True,
                 "parameters": {"type": "object", "properties": {}}},
                {"type": "function", "name": "note", "description": "Writes down.", "defer_loading": True,
                 "parameters": {"type": "object", "properties": {}}}]

    def say(self, key, text):
        self.change(key, lambda key: self.server.send(self.session, [message(text)], key))

    def answer(self, key, action, output):
        self.change(key, lambda key: self.server.send(self.session, [tool_result(action, output)], key))

    def run(self):
        self.session = self.change("create", lambda key: self.server.create("alpha", key, self.tools()))["id"]
        self.wait("idle")
        self.say("search", self.said[1])
        self.wait("idle")
        self.say("use", self.said[2])
        actions = {action["name"]: action for action in self.wait("requires_action")["required_actions"]}
        assert sorted(actions) == ["note", "render"], actions
        self.answer("note", actions["note"], "noted")
        open_calls = self.wait("idle")["required_actions"]
        assert open_calls == [actions["render"]], open_calls
        self.answer("late", actions["render"], "rendered")
        assert self.wait("idle")["required_actions"] == []
        self.say("omega", "omega")
        self.wait("idle")
        return self

    @staticmethod
    def user_texts(request):
        """What the model read as the user's words; the late result as "late"."""
        said = [part["content"] for part in request["messages"] if part["role"] == "user"]
        flat = [text if isinstance(text, str) else text[0]["text"] for text in said]
        return ["late" if text.startswith("[The result of the call") and text.endswith("]\nrendered") else text
                for text in flat]

    def check_requests(self, requests):
        for request in requests:
            flat = self.user_texts(request)
            assert flat == self.said[: len(flat)], flat
            found = any("Found, and can be called" in str(part["content"])
                        for part in request["messages"] if part["role"] == "tool")
            offered = [tool["function"]["name"] for tool in request["tools"]]
            assert offered == ["render", "tool_search"] + ["note"] * found, offered

    @staticmethod
    def window(database):
        kinds = [kind for (kind,) in database.execute("select kind from journal order by seq")]
        reached = (70 in kinds) + (70 in kinds and 30 in kinds) + (71 in kinds)
        return FunctionsScenario.windows[reached]


class UpdateScenario(Scenario):
    """An update while a function's result is waited for; windows are the update's."""

    windows = ("before the update", "after it, in its turn", "after its turn")
    changes = {"agent": {"reasoning": {"effort": "high"}, "tools": [{**LOOK, "name": "listen"}]},
               "metadata": {"changed": "yes"}}

    def update(self, key):
        return self.server.request("POST", f"/v1/agents/sessions/{self.session}", self.changes,
                                   {"Idempotency-Key": key})

    def run(self):
        server = self.server
        self.session = self.change("create", lambda key: server.create("alpha", key, [LOOK]))["id"]
        self.wait("idle")
        self.change("tool", lambda key: server.send(self.session, [message("tool please")], key))
        action = self.wait("requires_action")["required_actions"][0]
        self.change("update", self.update)
        self.change("result", lambda key: server.send(self.session, [tool_result(action, "seen")], key))
        self.wait("idle")
        self.change("omega", lambda key: server.send(self.session, [message("omega")], key))
        self.wait("idle")
        return self

    def check(self, expected, model, window=None):
        super().check(expected, model, window)
        view = self.surely(lambda: self.server.get(self.session))
        assert view["metadata"] == self.changes["metadata"], view
        assert view["agent"]["reasoning"]["effort"] == "high", view
        assert [tool["name"] for tool in view["agent"]["tools"]] == ["listen"], view
        again = self.surely(lambda: self.update("update"))
        assert again[0] == 200 and again[2] == self.acknowledged["update"][1], again

    def check_requests(self, requests):
        super().check_requests(requests)
        for request in requests:
            newest = request["messages"][-1]
            updated = newest["role"] == "tool" or newest["content"] == "omega"
            tools = [tool["function"]["name"] for tool in request["tools"]]
            assert tools == (["listen"] if updated else ["look"]), (newest, tools)
            effort = request.get("reasoning_effort")
            assert effort == ("high" if newest["content"] == "omega" else None), (newest, effort)

    @staticmethod
    def window(database):
        kinds = [kind for (kind,) in database.execute("select kind from journal order by seq")]
        if 80 not in kinds:
            return UpdateScenario.windows[0]
        return UpdateScenario.windows[2 if 102 in kinds[kinds.index(80):] else 1]


class FormatScenario(Scenario):
    """Two turns whose first answers are rejected; windows are those of the first repair."""

    windows = ("before the rejection", "between rejection and answer", "after the answer")
    turns = 2
    said = ["alpha", "omega"]

    def create(self, key):
        agent = {"model": "test", "experimental": {"time_awareness": True}, "text": {"format": {
            "type": "json_schema", "schema": {"type": "object", "required": ["heard"]}}}}
        body = {"agent": agent, "environment": {"type": "none"}, "input": self.said[0]}
        return self.server.request("POST", "/v1/agents/sessions", body, {"Idempotency-Key": key})

    def run(self):
        self.session = self.change("create", self.create)["id"]
        self.wait("idle")
        self.change("omega", lambda key: self.server.send(self.session, [message("omega")], key))
        self.wait("idle")
        return self

    def repeat_creation(self):
        return self.create("create")

    def check_requests(self, requests):
        texts = [[part["content"] for part in request["messages"]] for request in requests]
        for earlier, later in zip(texts, texts[1:]):
            same = later[: len(earlier)]
            assert same == earlier, f"what was sent is not sent again as it was: {earlier} {later}"
        for request in texts:
            assert request[0].startswith("[The time is "), request
            said = [text for text in request if text in self.said]
            assert said == self.said[: len(said)], request
            notes = [text for text in request if text.startswith("[Your answer was not accepted")]
            assert len(notes) <= len(said) and request.count("I heard it.") == len(notes), request

    @staticmethod
    def window(database):
        rejected = [seq for seq, body in database.execute(
            "select seq, body from journal where kind = 22 order by seq") if body and b'"repair":true' in body]
        if not rejected:
            return FormatScenario.windows[0]
        answers = database.execute("select count(*) from journal where kind = 21").fetchone()[0]
        return FormatScenario.windows[2 if answers else 1]


class WholeScenario(FunctionsScenario):
    """Steered, cancelled, summarised, and answered late, in one session; windows are these in their order."""

    windows = ("before the steer", "before the summary", "after the summary", "after the late result")
    said = ["alpha " * 20, "use look and render", "steered", "tool please", "beta " * 1050, "late", "omega"]
    statuses = ["completed", "completed", "cancelled", "completed", "completed", "completed"]

    @staticmethod
    def config(model):
        return model.config('[[model]]\nname = "test"\nprovider = "test"\ncontext_window = 2048\n')

    def tools(self):
        return [LOOK, {"type": "function", "name": "render", "description": "Renders.", "async": True,
                       "parameters": {"type": "object", "properties": {}}}]

    def run(self):
        create = lambda key: self.server.create(self.said[0], key, self.tools())  # noqa: E731
        self.session = self.change("create", create)["id"]
        self.wait("idle")
        self.say("use", "use look and render")
        actions = {action["name"]: action for action in self.wait("requires_action")["required_actions"]}
        assert sorted(actions) == ["look", "render"], actions
        self.say("steer", "steered")
        self.answer("look", actions["look"], "seen")
        self.wait("idle")
        self.say("tool", "tool please")
        open_calls = self.wait("requires_action")["required_actions"]
        assert sorted(call["name"] for call in open_calls) == ["look", "render"], open_calls
        cancel = [{"type": "agent.session.input.cancel"}]
        self.change("cancel", lambda key: self.server.send(self.session, cancel, key))
        assert self.wait("idle")["required_actions"] == [actions["render"]]
        self.say("beta", self.said[4])
        self.wait("idle")
        self.answer("late", actions["render"], "rendered")
        self.answer("late again", actions["render"], "rendered")
        assert self.wait("idle")["required_actions"] == []
        other = self.surely(lambda: self.server.send(self.session, [tool_result(actions["render"], "other")]))
        assert other[0] == 409, other
        self.say("omega", "omega")
        self.wait("idle")
        return self

    def check_requests(self, requests):
        """What was said stands there in its order, from the beginning or from behind the summary on."""
        summaries = 0
        for request in requests:
            if request["messages"][0]["content"].startswith("You shorten a conversation"):
                summaries += 1
                continue
            said = self.user_texts(request)
            summary = said[0].startswith("[The beginning")
            if summary:
                assert "alpha alpha" in said[0], said
                said = said[1:]
            first = self.said.index(said[0])
            assert summary or first == 0, said
            assert said == self.said[first: first + len(said)], said
            assert summary == (self.said[4] in said or first > 4), said
            assert [tool["function"]["name"] for tool in request["tools"]] == ["look", "render"], request["tools"]
        assert 1 <= summaries <= 2, summaries

    @staticmethod
    def window(database):
        kinds = [kind for (kind,) in database.execute("select kind from journal order by seq")]
        reached = (10 in kinds) + (61 in kinds) + (71 in kinds)
        return WholeScenario.windows[reached]


SCENARIOS = {"session": SessionScenario, "mcp": McpScenario, "compaction": CompactionScenario, "functions": FunctionsScenario,
             "update": UpdateScenario, "format": FormatScenario, "whole": WholeScenario}


def window_of(data, scenario):
    """Where the server died, by what is on disk."""
    with tempfile.TemporaryDirectory(prefix="perdure-window-") as copy:
        for name in os.listdir(data):
            if name.startswith("perdure.db"):
                shutil.copy(os.path.join(data, name), copy)
        path = os.path.join(copy, "perdure.db")
        if not os.path.exists(path):
            return scenario.windows[0]
        try:
            database = sqlite3.connect(path)
            window = scenario.window(database)
            database.close()
        except sqlite3.DatabaseError:
            return scenario.windows[0]  # died while it made the file
    return window


class Sweep:
    def __init__(self, binary, shim, scenario):
        self.binary = os.path.realpath(binary)
        self.shim = os.path.realpath(shim) if shim else None
        self.scenario = scenario
        self.expected = None

    def shim_environment(self, directory, run, report=None):
        variables = {
            "LD_PRELOAD": self.shim,
            "POWER_LOSS_UNDER": os.path.join(directory, "data"),
            "POWER_LOSS_MODE": run.mode,
            "POWER_LOSS_AT": str(run.point),
            "POWER_LOSS_SEED": str(run.seed),
        }
        if report:
            variables["POWER_LOSS_REPORT"] = report
        return variables

    def baseline(self, beginning=False):
        """The transcript without a crash, and how many points the scenario, or its beginning, has."""
        with Scratch() as directory:
            model, outside = Model(), McpServer()
            report = os.path.join(directory, "points")
            server = Server(self.binary, directory, self.scenario.config(model))
            try:
                server.start(self.shim_environment(directory, Run("kill", 0, 1), report))
                scenario = self.scenario(server, lambda: (_ for _ in ()).throw(AssertionError("it died")), outside)
                if beginning:
                    scenario.begin()
                else:
                    scenario.run()
                    self.expected = scenario.transcript()
                    scenario.check(self.expected, model)
                server.stop()
                with open(report, encoding="ascii") as file:
                    return int(file.read())
            finally:
                server.close()
                outside.close()
                model.close()

    def one(self, run):
        """Runs it; returns the window it died in, or None if it never died. Raises on a fault."""
        with Scratch() as directory:
            # Both protocols have their turn, always with the same points.
            model, outside = Model(), McpServer(modern=(run.point + run.seed) % 2 == 0)
            server = Server(self.binary, directory, self.scenario.config(model))
            windows = self.scenario.windows
            died = []

            def restart():
                server.process.wait()
                if not died:
                    died.append(window_of(server.data, self.scenario)
                                if os.path.isdir(server.data) else windows[0])
                outside.open_gates()
                server.start()

            try:
                try:
                    server.start(None if run.mode == "hold" else self.shim_environment(directory, run))
                except ServerDied:
                    restart()
                if run.mode == "hold":
                    (outside.list_gate if run.point == 1 else outside.call_gate).clear()
                    threading.Thread(target=self.kill_while_held, args=(run, server, outside), daemon=True).start()
                scenario = self.scenario(server, restart, outside)
                scenario.run().check(self.expected, model, died[0] if died else None)
                return died[0] if died else None
            finally:
                server.close()
                outside.close()
                model.close()

    @staticmethod
    def kill_while_held(run, server, outside):
        """Kills it while the list (point 1), or both calls (point 2), are being answered."""
        end = time.monotonic() + HANG
        while time.monotonic() < end:
            if outside.lists if run.point == 1 else outside.count("book") and outside.count("put"):
                server.process.kill()
                return
            time.sleep(0.001)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--shim", help="needed for the modes kill and power")
    parser.add_argument("--scenario", choices=SCENARIOS, default="session")
    parser.add_argument("--modes", default="kill,power")
    parser.add_argument("--seconds", type=float, default=0, help="stop after; 0: every run")
    parser.add_argument("--seeds", type=int, default=1, help="for the modes that have chance in them")
    parser.add_argument("--late", action="store_true", help="of the scenario mcp: only from its calls on")
    parser.add_argument("--point", type=int)
    parser.add_argument("--mode", default="kill")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--order", type=int, default=random.randrange(1 << 30))
    options = parser.parse_args()

    windows_of_all = SCENARIOS[options.scenario].windows
    modes = options.modes.split(",")
    sweep = Sweep(options.binary, options.shim, SCENARIOS[options.scenario])
    points = sweep.baseline() if options.shim else 0
    # What ends a server writes too, so the beginning alone counts a few points more than it has.
    first = sweep.baseline(beginning=True) - 10 if options.late else 1
    if options.point:
        print("died", sweep.one(Run(options.mode, options.point, options.seed)))
        return 0
    runs = [Run(mode, point, seed)
            for mode in modes
            for point in (range(1, 3) if mode == "hold" else range(first, points + 1))
            for seed in range(1, (options.seeds if mode == "power" else 2 if mode == "hold" else 1) + 1)]
    random.Random(options.order).shuffle(runs)
    end = time.monotonic() + options.seconds if options.seconds else float("inf")
    windows = collections.Counter()
    made = failed = 0
    with concurrent.futures.ThreadPoolExecutor(max_workers=3) as pool:
        pending = {}
        iterator = iter(runs)
        while True:
            while len(pending) < 3 and time.monotonic() < end and (run := next(iterator, None)):
                pending[pool.submit(sweep.one, run)] = run
            if not pending:
                break
            done, _ = concurrent.futures.wait(pending, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in done:
                run = pending.pop(future)
                made += 1
                try:
                    windows[future.result() or "never"] += 1
                except Exception as error:  # noqa: BLE001 - every fault is one failed run
                    failed += 1
                    print(f"FAILED {run}: {error}\n  alone: {sys.argv[0]} --binary {options.binary} "
                          f"--shim {options.shim} --scenario {options.scenario} --mode {run.mode} --point {run.point} --seed {run.seed}")
    print(f"{points} points; {made} of {len(runs)} runs (order {options.order}); died: "
          + ", ".join(f"{window} {windows[window]}" for window in (*windows_of_all, "never")))
    missed = [window for window in windows_of_all if not windows[window]] if modes != ["hold"] else []
    if missed:
        print(f"FAILED: no run died {' or '.join(missed)}")
        failed += 1
    print(f"{made - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
