#!/usr/bin/env python3
"""Reference to earlier sessions: found over HTTP, by the command line and by a model, also after kill -9.

The model is the scripted one, which calls the tool that a text names. The last line is
"N passed, N failed".
"""

import json
import os
import subprocess
import sys
import unittest
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from perdure_test import Scratch, Server, message  # noqa: E402

CONFIG = '[[provider]]\nname = "demo"\nkind = "scripted"\n'
TOOLS = {"X-Perdure-Tools": "search_sessions, read_session_turn"}


class Search(unittest.TestCase):
    config = CONFIG

    def setUp(self):
        scratch = Scratch()
        directory = scratch.__enter__()
        self.addCleanup(scratch.__exit__)
        self.server = Server(os.environ["PERDURE_BINARY"], directory, self.config)
        self.addCleanup(self.server.close)
        self.server.start()

    def session(self, text, headers=None):
        body = {"agent": {"model": "demo"}, "environment": {"type": "none"}, "input": text}
        status, _, session = self.server.request("POST", "/v1/agents/sessions", body, headers)
        self.assertEqual(status, 201, session)
        self.server.wait_for(session["id"], "idle")
        return session["id"]

    def search(self, words, expected=200, **parameters):
        query = urllib.parse.urlencode({"q": words, **parameters})
        status, _, answer = self.server.request("GET", "/api/search?" + query)
        self.assertEqual(status, expected, answer)
        return answer

    def tool_results(self, session):
        """What the session's tools gave, as the model read it."""
        return [item["output"] for item in self.server.items(session) if item["type"] == "function_call_output"]

    def test_a_fresh_session_finds_an_earlier_one_and_cites_it(self):
        earlier = self.session("The staging port is 8443, remember it.")
        turn = self.server.items(earlier)[0]["turn_id"]
        fresh = self.session('call search_sessions {"query":"staging port"}', TOOLS)
        (result,) = self.tool_results(fresh)
        found = json.loads(result)["results"]
        self.assertEqual({(hit["session_id"], hit["turn_id"]) for hit in found}, {(earlier, turn)})
        said = self.server.items(fresh)[-1]
        self.assertIn(earlier, json.dumps(said))
        reader = self.session(f'call read_session_turn {{"session_id":"{earlier}","turn_id":"{turn}"}}', TOOLS)
        self.assertIn("8443", self.tool_results(reader)[0])

    def test_a_session_without_the_tools_cannot_look(self):
        self.session("The staging port is 8443.")
        self.assertEqual(self.tool_results(self.session('call search_sessions {"query":"staging"}')), [])

    def test_nothing_is_lost_with_the_process_and_deleted_sessions_are_gone(self):
        sessions = [self.session(f"A walrus numbered {number}") for number in range(5)]
        self.server.kill()
        self.server.start()
        answer = self.search("walrus numbered", limit=100)
        self.assertTrue(answer["complete"])
        self.assertEqual({hit["session"] for hit in answer["data"]}, set(sessions))
        self.server.send(sessions[0], [message("another walrus")])
        self.server.wait_for(sessions[0], "idle")
        self.server.kill()
        self.server.start()
        self.assertEqual(self.search("another walrus")["data"][0]["session"], sessions[0])
        for session in sessions[:4]:
            status = self.server.request("DELETE", f"/v1/agents/sessions/{session}")[0]
            self.assertIn(status, (200, 204))
        self.assertEqual({hit["session"] for hit in self.search("walrus")["data"]}, {sessions[4]})

    def test_pages_have_every_result_once(self):
        self.session("A walrus")
        self.session("A walrus again")
        everything = [hit["item"] for hit in self.search("walrus", limit=100)["data"]]
        self.assertEqual(len(everything), 4)
        for limit in range(1, 6):
            seen, after = [], {}
            while True:
                page = self.search("walrus", limit=limit, **after)
                seen += [hit["item"] for hit in page["data"]]
                if not page["has_more"]:
                    break
                after = {"after": page["next"]}
            self.assertEqual(seen, everything)

    def test_whatever_is_asked_gets_a_clear_answer(self):
        self.session("A walrus")
        for words in ("", "\"", "*", "\0", "() ^", "x" * 10_240):
            error = self.search(words, 400)["error"]
            self.assertTrue(error["message"], error)
            if words.isprintable() and len(words) < 4096:  # others are no URL to begin with
                self.assertEqual(error["param"], "q", error)
        for words in ("NEAR(walrus)", "terms: walrus", "walrus OR *", "wal'rus --", "the", "\u6771 walrus", "a b c " * 99):
            self.search(words)
        self.assertEqual(len(self.search("'walrus'); DROP TABLE session")["data"]), 2)

    def test_the_route_says_what_it_takes(self):
        operation = self.server.request("GET", "/openapi.json")[2]["paths"]["/api/search"]["get"]
        taken = {parameter["name"]: parameter["required"] for parameter in operation["parameters"]}
        self.assertEqual(taken, {"q": True, "agent": False, "workstream": False, "limit": False, "after": False,
                                 "project": False})

    def test_the_command_line_shows_what_was_found(self):
        session = self.session("A walrus")

        def run(*arguments):
            return subprocess.run(
                [self.server.binary, "search", *arguments, "--data-dir", self.server.data],
                env={"PATH": os.environ["PATH"], "HOME": self.server.directory}, capture_output=True, text=True)

        shown = run("walrus")
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertIn(session, shown.stdout)
        self.assertIn("user: A walrus", shown.stdout)
        self.assertIn("Nothing was found.", run("albatross").stdout)
        page = json.loads(run("walrus", "--json", "--limit", "1").stdout)
        self.assertEqual((len(page["data"]), page["has_more"]), (1, True))
        self.assertEqual(json.loads(run("walrus", "--json", "--workstream", "none").stdout)["data"], [])
        self.assertNotEqual(run("***").returncode, 0)


class SearchForAll(Search):
    """The operator gives the tools to every session, held to its workstream."""

    config = CONFIG + '[tools]\nsearch_sessions = true\nsearch_scope = "workstream"\n'

    def test_a_session_without_the_tools_cannot_look(self):
        inside = {"X-Perdure-Workstream": "inside"}
        self.session("The staging port is 8443.")
        first = self.session("The staging port is 9443.", inside)
        (result,) = self.tool_results(self.session('call search_sessions {"query":"staging"}', inside))
        self.assertEqual({hit["session_id"] for hit in json.loads(result)["results"]}, {first})


if __name__ == "__main__":
    result = unittest.main(exit=False, verbosity=1).result
    bad = len(result.failures) + len(result.errors)
    print(f"{result.testsRun - bad} passed, {bad} failed")
    sys.exit(bad > 0)
