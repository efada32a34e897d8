#!/usr/bin/env python3
"""A session on a real engine: perdure in front of llama.cpp, over each protocol that llama.cpp speaks.

    run.py --binary PERDURE [--only TEXT]

Two models: *noise*, half a megabyte of random weights (tiny_gguf.py), which an engine holds to a grammar,
and the demo's small real one. What is asserted is what must be true of any model: the deltas add up to
the item, usage is told, structured answers fit their schema, tool arguments fit theirs, the result of a
call reaches the next request. Never wit. The last line is "N passed, N failed, N skipped"; skipped are
the cases where scripts/local_model.sh says that no engine can be had here.
"""

import argparse
import json
import os
import re
import select
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))

from perdure_test import HANG, Scratch, Server, message, tool_result  # noqa: E402

LOCAL_MODEL = os.path.join(ROOT, "scripts", "local_model.sh")
NO_ENGINE = 3  # local_model.sh's exit code where there is none

PAINT = {"type": "function", "name": "paint", "description": "Paints something.",
         "parameters": {"type": "object", "properties": {"colour": {"enum": ["red", "blue"]},
                                                         "coats": {"type": "integer", "minimum": 1, "maximum": 3}},
                        "required": ["colour", "coats"], "additionalProperties": False}}
VERDICT = {"type": "object", "properties": {"yes": {"type": "boolean"}, "colour": {"enum": ["red", "blue"]}},
           "required": ["yes", "colour"], "additionalProperties": False}


class NoEngine(Exception):
    pass


class Engine:
    """llama.cpp over one model, on a free port."""

    def __init__(self, file=None):
        self.process = subprocess.Popen(
            [LOCAL_MODEL, "serve", "0", *([file] if file else [])], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PERDURE_DEMO_THREADS": "1"}, start_new_session=True)
        said = ""
        end = time.monotonic() + 10 * HANG  # it may have to be installed first
        while time.monotonic() < end:
            ready, _, _ = select.select([self.process.stderr], [], [], 1.0)
            line = self.process.stderr.readline() if ready else ""
            said += line
            found = re.search(r" at (http://\S+)$", line.strip())
            if found:
                self.url = found.group(1)
                return
            if ready and not line:  # it has ended
                if self.process.wait() == NO_ENGINE:
                    raise NoEngine(said.strip().splitlines()[-1])
                break
        self.close()
        raise AssertionError(f"llama.cpp did not start:\n{said}")

    def close(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait()
        self.process.stderr.close()


def config(engines):
    """One provider for each protocol and engine; the model's name says both: "chat/noise"."""
    text = ""
    for engine, url in engines.items():
        for protocol, (kind, base) in PROTOCOLS.items():
            name = f"{protocol}-{engine}"
            text += (f'[[provider]]\nname = "{name}"\nkind = "{kind}"\nbase_url = "{base(url)}"\n'
                     f'[[model]]\nname = "{protocol}/{engine}"\nprovider = "{name}"\nupstream = "any"\n'
                     f'name_tools = true\nmax_output_tokens = 200\n')  # small models go on for ever
    for protocol in ("responses", "messages"):  # see tools_result
        text += (f'[[model]]\nname = "{protocol}/result"\nprovider = "chat-small"\nupstream = "any"\n'
                 f'name_tools = true\nmax_output_tokens = 64\n')
    return text


PROTOCOLS = {
    "chat": ("openai-chat", lambda url: url),
    "responses": ("openai-responses", lambda url: url),
    "messages": ("anthropic-messages", lambda url: url),
}


def turn_of(server, agent, text):
    """Creates a session, follows its first turn to the end; (session, events)."""
    body = {"agent": agent, "environment": {"type": "none"}, "input": text, "stream": True,
            "stream_options": {"include_obfuscation": False}}
    events = [event for _, event in server.stream("/v1/agents/sessions", body)]
    return next(e["session"]["id"] for e in events if e["type"] == "agent.session.created"), events


def check_end(events):
    """A model may talk until it is cut off; every other failure is ours or the engine's."""
    errors = [e["error"] for e in events if e["type"] == "error"]
    assert all(error["code"] == "max_output_tokens" for error in errors), errors


def check_stream(server, session, events):
    """What was streamed is what is kept, and what it cost is known."""
    check_end(events)
    status, _, page = server.request("GET", f"/v1/agents/sessions/{session}/items?order=asc&include_incomplete=true")
    assert status == 200, page
    said = next(item for item in page["data"] if item.get("role") == "assistant")
    text = "".join(part["text"] for part in said["content"])
    deltas = "".join(e["delta"] for e in events if e["type"].endswith("output_text.delta"))
    assert deltas, "nothing was streamed"
    assert deltas == text, "the deltas are not the text"
    usage = server.get(session)["usage"]
    assert usage["input_tokens"] > 0 and usage["output_tokens"] > 0, usage
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"], usage
    return text


def plain_turn(server, model):
    session, events = turn_of(server, {"model": model}, "Say something about the sea.")
    check_stream(server, session, events)


def structured_answer(server, model):
    agent = {"model": model, "text": {"format": {"type": "json_schema", "schema": VERDICT}}}
    session, events = turn_of(server, agent, "Is the sky blue?")
    answer = json.loads(check_stream(server, session, events))
    assert set(answer) == {"yes", "colour"}, answer
    assert isinstance(answer["yes"], bool) and answer["colour"] in ("red", "blue"), answer


def tool_round(server, model):
    status, _, created = server.create("Please use paint.", tools=[PAINT], model=model)
    assert status == 201, created
    view = server.wait_for(created["id"], "requires_action", "idle", "failed")
    assert view["status"] == "requires_action", (view, server.items(created["id"]))
    action = view["required_actions"][0]
    arguments = action["arguments"]
    arguments = json.loads(arguments) if isinstance(arguments, str) else arguments
    assert arguments["colour"] in ("red", "blue") and 1 <= arguments["coats"] <= 3, arguments
    status, _, body = server.send(created["id"], [tool_result(action, "painted")])
    assert status == 202, body
    view = server.wait_for(created["id"], "idle", "failed")
    assert view["status"] == "idle", view
    types = [item["type"] for item in server.items(created["id"])]
    assert types.index("function_call") < types.index("function_call_output"), types


def tools_result(server, model):
    """The call is made over chat, and its result is sent over the protocol: another provider has the name by then."""
    status, _, created = server.create("Please use paint.", tools=[PAINT], model=model)
    assert status == 201, created
    session = created["id"]
    view = server.wait_for(session, "requires_action", "idle", "failed")
    assert view["status"] == "requires_action", (view, server.items(session))
    server.stop()
    with open(server.config, encoding="utf-8") as file:
        text = file.read()
    head = f'name = "{model}"\nprovider = '
    assert f'{head}"chat-small"' in text
    with open(server.config, "w", encoding="utf-8") as file:
        file.write(text.replace(f'{head}"chat-small"', f'{head}"{model.split("/")[0]}-small"'))
    server.start()
    status, _, body = server.send(session, [tool_result(view["required_actions"][0], "painted")])
    assert status == 202, body
    view = server.wait_for(session, "idle", "failed")
    assert view["status"] == "idle", view
    turn = server.request("GET", f"/v1/agents/sessions/{session}/turns")[2]["data"][0]
    assert not turn["error"] or turn["error"]["code"] == "max_output_tokens", turn
    status, _, page = server.request("GET", f"/v1/agents/sessions/{session}/items?order=asc&include_incomplete=true")
    types = [item["type"] for item in page["data"]]
    assert types[:3] == ["message", "function_call", "function_call_output"] and types[-1] == "message", types
    status, _, usage = server.request("GET", "/api/usage?group_by=session,provider")
    assert status == 200, usage
    asked = {row["provider"]: row["input_tokens"] for row in usage["data"] if row["session"] == session}
    other = f"{model.split('/')[0]}-small"
    assert set(asked) == {"chat-small", other}, asked
    assert asked[other] > asked["chat-small"], "the call and its result are not in the context"


def second_turn(server, model):
    session, events = turn_of(server, {"model": model}, "Remember the number 41.")
    check_end(events)
    first = server.get(session)["usage"]["input_tokens"]
    assert server.send(session, [message("Which number was it?")])[0] == 202
    view = server.wait_for(session, "idle", "failed")
    assert view["usage"]["input_tokens"] > 2 * first, "the first turn is not in the second's context"


# Noise without a grammar would never stop, and llama.cpp makes one of a request's schema over chat only. There
# only does it heed `tool_choice`, too, and a model this small calls no tool that it need not.
CASES = [
    ("a plain turn", plain_turn, ["chat/small", "responses/small", "messages/small"]),
    ("a structured answer", structured_answer, ["chat/noise", "chat/small"]),
    ("a tool round", tool_round, ["chat/noise", "chat/small"]),
    ("a tool's result", tools_result, ["responses/result", "messages/result"]),
    ("a second turn", second_turn, ["chat/small", "responses/small", "messages/small"]),
]


def run(options, scratch):
    tiny = os.path.join(scratch, "noise.gguf")
    subprocess.run([sys.executable, os.path.join(HERE, "tiny_gguf.py"), tiny], check=True)
    cases = [(f"{name}: {model}", case, model) for name, case, models in CASES for model in models]
    cases = [case for case in cases if options.only in case[0]]
    engines = {}
    server = None
    passed = failed = 0
    try:
        try:
            engines["noise"] = Engine(tiny)
            engines["small"] = Engine()
        except NoEngine as reason:
            print(f"skipped: {reason}")
            return 0, 0, len(cases)
        server = Server(options.binary, scratch, config({name: engine.url for name, engine in engines.items()}))
        server.start()
        for name, case, model in cases:
            try:
                case(server, model)
                passed += 1
                print(f"ok     {name}", flush=True)
            except Exception as error:  # noqa: BLE001 (the next case says more)
                failed += 1
                print(f"FAILED {name}: {type(error).__name__}: {error}", flush=True)
        server.stop()
    finally:
        if server:
            server.close()
        for engine in engines.values():
            engine.close()
    return passed, failed, 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    with Scratch() as scratch:
        passed, failed, skipped = run(options, scratch)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
