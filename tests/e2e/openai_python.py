"""The Agents API through the official Python SDK: saved agents and sessions, end to end.

Needs the packages of requirements.txt; scripts/stages/e2e.sh puts them into build/python.
  PERDURE_BIN=build/release/perdure build/python/bin/python tests/e2e/openai_python.py
"""
import json
import os
import pathlib
import sys
import unittest

import openai
import pydantic

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/lib"))
from perdure_test import Scratch, Server  # noqa: E402

BINARY = os.path.realpath(os.environ.get("PERDURE_BIN", ROOT / "build/release/perdure"))
SCRIPT = {
    "steps": [
        {"when": "weather", "times": 0, "text": "Let me look.",
         "tool_calls": [{"name": "get_weather", "arguments": {"city": "Lisbon"}}]},
        {"when": "celsius", "times": 0, "text": "It is 21 degrees."},
        {"when": "for ever", "times": 0, "text": "I begin and", "after_chunks": 2, "hang": True},
        {"when": "json", "times": 0, "text": "{\"answer\": 42}"},
        {"when": "Found, and can be called", "times": 0,
         "tool_calls": [{"name": "send_email", "arguments": {"to": "ada"}}]},
        {"when": "write to ada", "times": 0,
         "tool_calls": [{"name": "tool_search", "arguments": {"query": "message to a customer"}}]},
        {"when": "delivered", "times": 0, "text": "It is sent."},
        {"when": "in the background:]", "times": 0, "text": "Here it is: {{input}}"},
        {"when": "runs in the background", "times": 0, "text": "I have begun."},
        {"when": "render", "times": 0, "tool_calls": [{"name": "render", "arguments": {"size": 3}}]},
        {"when": "fetch", "times": 0, "tool_calls": [{"name": "fetch", "arguments": {}}]},
        {"when": "are left out", "times": 0, "text": "It was long."},
    ],
    "otherwise": {"text": "You said: {{input}}"},
}
WEATHER = {"type": "function", "name": "get_weather", "description": "The weather.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}},
                          "required": ["city"]}}
PLAIN = {"type": "object", "properties": {}}
RENDER = {"type": "function", "name": "render", "description": "Renders.", "parameters": PLAIN, "async": True}
FETCH = {"type": "function", "name": "fetch", "description": "Fetches.", "parameters": PLAIN}
SEARCHED = [{"type": "tool_search"},
            {"type": "function", "name": "send_email", "description": "Sends a message to a customer.",
             "parameters": PLAIN, "defer_loading": True},
            {"type": "function", "name": "refund", "description": "Gives money back.", "parameters": PLAIN,
             "defer_loading": True}]
NO_COMPUTE = {"type": "none"}


class Answer(pydantic.BaseModel):
    answer: int


class PythonSdkTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = Scratch()
        directory = cls.scratch.__enter__()
        cls.addClassCleanup(cls.scratch.__exit__, None, None, None)
        script = pathlib.Path(directory) / "script.json"
        script.write_text(json.dumps(SCRIPT), encoding="utf-8")
        cls.server = Server(BINARY, directory, "", arguments=["--listen", "127.0.0.1:0",
                                                              "--script", str(script)])
        cls.addClassCleanup(cls.server.close)
        cls.server.start()

    def setUp(self):
        self.client = openai.OpenAI(base_url=f"http://127.0.0.1:{self.server.port}/v1",
                                    api_key="any", max_retries=0)
        self.addCleanup(self.client.close)
        self.agents = self.client.beta.agents
        self.sessions = self.agents.sessions

    def session(self, **members):
        """A new session, idle."""
        members.setdefault("environment", NO_COMPUTE)
        with self.sessions.create(input="hello", stream=True, **members) as stream:
            created = next(event for event in stream if event.type == "agent.session.created")
            for _ in stream:  # to its end
                pass
        return created.session

    def texts(self, session):
        return [part.text for item in self.sessions.items.list(session, order="asc", limit=100)
                if item.type == "message" for part in item.content]

    def test_an_agent_is_saved_changed_and_deleted(self):
        agent = self.agents.create(model="scripted", name="helper", instructions="Be brief.",
                                   metadata={"team": "a"}, tools=[WEATHER],
                                   reasoning={"effort": "low"}, text={"verbosity": "medium"})
        self.assertEqual((agent.object, agent.name, agent.model), ("agent", "helper", "scripted"))
        self.assertEqual(agent.tools[0].name, "get_weather")
        self.assertEqual(self.agents.retrieve(agent.id), agent)

        changed = self.agents.update(agent.id, instructions=None, metadata={"team": "b"})
        self.assertIsNone(changed.instructions)
        self.assertEqual(changed.metadata, {"team": "b"})
        self.assertEqual((changed.name, changed.reasoning.effort), ("helper", "low"))
        self.assertEqual(changed.tools, agent.tools)

        deleted = self.agents.delete(agent.id)
        self.assertEqual((deleted.id, deleted.object, deleted.deleted),
                         (agent.id, "agent.deleted", True))
        with self.assertRaises(openai.NotFoundError):
            self.agents.retrieve(agent.id)

    def test_lists_page_by_themselves(self):
        made = [self.agents.create(model="scripted", name=f"agent {i}").id for i in range(5)]
        listed = [agent.id for agent in self.agents.list(limit=2)]
        self.assertEqual([id for id in listed if id in made], made[::-1])
        self.assertEqual(len(listed), len(set(listed)))
        ascending = [agent.id for agent in self.agents.list(limit=2, order="asc")]
        self.assertEqual(ascending, listed[::-1])

    def test_a_session_of_an_agent_keeps_what_it_was_made_from(self):
        agent = self.agents.create(model="scripted", name="helper", tools=[WEATHER])
        session = self.session(agent_id=agent.id, agent={"instructions": "Be brief."})
        self.assertEqual(session.agent.id, agent.id)
        self.assertEqual((session.agent.name, session.agent.instructions), ("helper", "Be brief."))
        self.agents.update(agent.id, name="renamed", tools=[])
        self.agents.delete(agent.id)

        cities = []

        def get_weather(arguments):
            cities.append(arguments["city"])
            return {"celsius": 21}

        with self.sessions.stream(session.id, input="weather?",
                                  tool_handlers={"get_weather": get_weather}) as stream:
            result = stream.get_final_result()
        self.assertEqual(cities, ["Lisbon"])
        self.assertEqual(result.messages[-1].content[0].text, "It is 21 degrees.")
        kept = self.sessions.retrieve(session.id)
        self.assertEqual((kept.agent.name, kept.status), ("helper", "idle"))
        self.assertEqual([each.id for each in self.sessions.list(agent_id=agent.id)], [session.id])
        with self.assertRaises(openai.NotFoundError):
            self.sessions.create(agent_id=agent.id, environment=NO_COMPUTE, input="x")

    def test_an_agent_and_its_session_survive_kill_9(self):
        agent = self.agents.create(model="scripted", name="durable")
        self.server.kill()  # its answer was given: it is on disk
        self.server.start()
        self.setUp()
        self.assertEqual(self.agents.retrieve(agent.id), agent)
        changed = self.agents.update(agent.id, name="changed")
        session = self.session(agent_id=agent.id)
        self.server.kill()
        self.server.start()
        self.setUp()
        self.assertEqual(self.agents.retrieve(agent.id), changed)
        with self.sessions.stream(session.id, input="again") as stream:
            stream.get_final_result()
        self.assertEqual(self.texts(session.id),
                         ["hello", "You said: hello", "again", "You said: again"])

    def test_a_session_is_driven_from_creation_to_deletion(self):
        session = self.session(agent={"model": "scripted"}, metadata={"k": "v"})
        with self.sessions.stream(session.id, input="json", output_type=Answer) as stream:
            self.assertEqual(stream.get_final_result().output_parsed, Answer(answer=42))
        turns = list(self.sessions.turns.list(session.id))
        self.assertEqual([turn.status for turn in turns], ["completed", "completed"])
        self.assertEqual(self.sessions.turns.retrieve(turns[0].id, session_id=session.id).id,
                         turns[0].id)
        self.assertEqual([each.id for each in self.sessions.list(metadata={"k": "v"})], [session.id])
        self.assertTrue(self.sessions.delete(session.id).deleted)
        with self.assertRaises(openai.NotFoundError):
            self.sessions.retrieve(session.id)

    def test_a_turn_is_cancelled(self):
        session = self.session(agent={"model": "scripted"})
        with self.sessions.events.stream(session.id) as stream:
            self.sessions.events.create(session.id, events=[{
                "type": "agent.session.input.message",
                "input": [{"role": "user", "content": [{"type": "input_text", "text": "for ever"}]}]}])
            for event in stream:
                if event.type == "agent.session.turn.output_text.delta":
                    break
            self.sessions.events.create(session.id, events=[{"type": "agent.session.input.cancel"}])
            ends = [next(event for event in stream if event.type == wanted).type for wanted in
                    ("agent.session.turn.cancelled", "agent.session.idle")]
        self.assertEqual(len(ends), 2)

    def test_a_deferred_function_is_found_and_run(self):
        session = self.session(agent={"model": "scripted", "tools": SEARCHED})
        self.assertEqual([tool.name for tool in session.agent.tools], ["send_email", "refund"])
        seen = []

        def send_email(arguments):
            seen.append(arguments["to"])
            return "delivered"

        with self.sessions.stream(session.id, input="write to ada",
                                  tool_handlers={"send_email": send_email}) as stream:
            result = stream.get_final_result()
        self.assertEqual(seen, ["ada"])
        self.assertEqual(result.messages[-1].content[0].text, "It is sent.")
        self.assertEqual([item.type for item in self.sessions.items.list(session.id, order="asc")],
                         ["message", "message", "message", "function_call", "function_call_output", "message"])

    def test_the_result_of_an_async_function_comes_after_its_turn_and_a_crash(self):
        begun = self.session(agent={"model": "scripted", "tools": [RENDER]})
        with self.sessions.events.stream(begun.id) as stream:
            self.sessions.events.create(begun.id, events=[{
                "type": "agent.session.input.message",
                "input": [{"role": "user", "content": [{"type": "input_text", "text": "render it"}]}]}])
            next(event for event in stream if event.type == "agent.session.idle")
        (action,) = self.sessions.retrieve(begun.id).required_actions
        self.assertEqual((action.name, action.arguments), ("render", {"size": 3}))
        self.server.kill()
        self.server.start()
        self.setUp()
        self.assertEqual(self.sessions.retrieve(begun.id).required_actions, [action])

        def result(output):
            return [{"type": "agent.session.input.tool_result", "turn_id": action.turn_id,
                     "call_id": action.call_id, "success": True, "output": output}]

        with self.sessions.events.stream(begun.id) as stream:
            self.sessions.events.create(begun.id, events=result("a picture"))
            next(event for event in stream if event.type == "agent.session.idle")
        self.assertRegex(self.texts(begun.id)[-1], r"(?s)^Here it is: .*a picture$")
        self.sessions.events.create(begun.id, events=result("a picture"))
        with self.assertRaises(openai.ConflictError):
            self.sessions.events.create(begun.id, events=result("another"))
        self.assertEqual(self.sessions.retrieve(begun.id).required_actions, [])

    def test_a_long_result_stays_whole_and_is_read_shortened(self):
        session = self.session(agent={"model": "scripted", "tools": [FETCH]})
        whole = "begin " + "x" * (400 << 10) + " end"
        with self.sessions.stream(session.id, input="fetch it", tool_handlers={"fetch": lambda _: whole}) as stream:
            result = stream.get_final_result()
        self.assertEqual(result.messages[-1].content[0].text, "It was long.")
        (output,) = [item for item in self.sessions.items.list(session.id, order="asc")
                     if item.type == "function_call_output"]
        self.assertEqual(output.output, whole)

    def test_errors_arrive_as_the_sdk_knows_them(self):
        with self.assertRaises(openai.BadRequestError) as refused:
            self.agents.create(model="scripted", tools=[{"type": "web_search"}])
        self.assertEqual(refused.exception.param, "tools[0].type")
        self.assertRegex(str(refused.exception), "is not supported yet")
        session = self.session(agent={"model": "scripted"})
        with self.assertRaises(openai.BadRequestError) as refused:
            self.sessions.create(agent_id=session.agent.id, environment=NO_COMPUTE, input="x")
        self.assertEqual(refused.exception.code, "agent_not_persisted")
        agent = self.agents.create(model="scripted")
        self.agents.update(agent.id, name="two")
        with self.assertRaises(openai.ConflictError):
            self.agents.update(agent.id, name="three", extra_headers={"If-Match": "1"})

    def test_a_repeated_request_is_done_once(self):
        key = {"Idempotency-Key": os.urandom(8).hex()}
        one = self.agents.create(model="scripted", name="once", extra_headers=key)
        self.assertEqual(self.agents.create(model="scripted", name="once", extra_headers=key), one)
        with self.assertRaises(openai.ConflictError):
            self.agents.create(model="scripted", name="other", extra_headers=key)


if __name__ == "__main__":
    unittest.main()
