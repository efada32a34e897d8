#!/usr/bin/env python3
"""Money needs a price: what a limit and a budget say where the model has none, and that both work with one.

The model is a stand-in that speaks Chat Completions and tells its usage. The last line is
"N passed, N failed".
"""

import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from perdure_test import Model, Scratch, Server, message  # noqa: E402

MODELS = ('[[model]]\nname = "free"\nprovider = "test"\n'
          # 10 input and 5 output tokens a call: 200,000 nano-dollars.
          '[[model]]\nname = "paid"\nprovider = "test"\nmax_output_tokens = 100\n'
          'price = {input = 10.0, output = 20.0}\n'
          '[[provider]]\nname = "scripted"\nkind = "scripted"\n'
          '[[model]]\nname = "demo"\nprovider = "scripted"\n')
NEEDS_PRICE = ("A spending limit needs a model whose price is known, and 'free' has none in the pool 'test': give it "
               "one in [[model]] or [[pool]] of the server's configuration.")
NO_PRICE = ("The budget of project 'default' allows no call without a price, and 'free' has none in the pool 'test'. "
            "Give it one in [[model]] or [[pool]] of the server's configuration.")
COST = 200_000


class MoneyNeedsAPrice(unittest.TestCase):
    def setUp(self):
        scratch = Scratch()
        directory = scratch.__enter__()
        self.addCleanup(scratch.__exit__)
        self.model = Model()
        self.addCleanup(self.model.close)
        self.server = Server(os.environ["PERDURE_BINARY"], directory, self.model.config(MODELS))
        self.addCleanup(self.server.close)
        self.server.start()

    def create(self, model, cents=None):
        body = {"agent": {"model": model}, "environment": {"type": "none"}, "input": "hello"}
        if cents is not None:
            body["spend_control"] = {"limit": cents}
        status, _, answer = self.server.request("POST", "/v1/agents/sessions", body)
        return status, answer

    def turn_of(self, session):
        """The newest turn, when it has ended."""
        self.server.wait_for(session, "idle", "failed")
        status, _, page = self.server.request("GET", f"/v1/agents/sessions/{session}/turns?order=desc&limit=1")
        self.assertEqual(status, 200, page)
        return page["data"][0]

    def set_budget(self, limit):
        status, _, body = self.server.request("PUT", "/api/budgets/project/default", {"limit_nano": limit})
        self.assertEqual(status, 200, body)

    def budget(self):
        status, _, body = self.server.request("GET", "/api/budgets")
        self.assertEqual(status, 200, body)
        return body["data"][0]

    def test_a_sessions_limit_is_refused_without_a_price(self):
        status, body = self.create("free", 100)
        self.assertEqual(status, 400, body)
        self.assertEqual(body["error"]["type"], "invalid_request_error")
        self.assertEqual(body["error"]["param"], "spend_control.limit")
        self.assertEqual(body["error"]["message"], NEEDS_PRICE)
        self.assertEqual(self.server.request("GET", "/v1/agents/sessions")[2]["data"], [])
        self.assertEqual(self.model.count(), 0)

    def test_a_turn_under_a_budget_fails_without_a_price(self):
        self.set_budget(10_000_000_000)
        status, session = self.create("free")
        self.assertEqual(status, 201, session)
        turn = self.turn_of(session["id"])
        self.assertEqual(turn["status"], "failed", turn)
        self.assertEqual(turn["error"]["code"], "invalid_request", turn)
        self.assertEqual(turn["error"]["message"], NO_PRICE)
        self.assertEqual(self.model.count(), 0)
        # Without the budget the same session goes on.
        status, _, body = self.server.request("DELETE", "/api/budgets/project/default")
        self.assertIn(status, (200, 204), body)
        self.assertEqual(self.server.send(session["id"], [message("again")])[0], 202)
        self.assertEqual(self.turn_of(session["id"])["status"], "completed")

    def test_with_a_price_both_work_and_both_end(self):
        self.set_budget(10_000_000_000)
        status, session = self.create("paid", 1)
        self.assertEqual(status, 201, session)
        self.assertEqual(self.turn_of(session["id"])["status"], "completed")
        budget = self.budget()
        self.assertEqual((budget["spent_nano"], budget["reserved_nano"]), (COST, 0), budget)
        status, _, usage = self.server.request("GET", f"/api/sessions/{session['id']}/usage")
        self.assertEqual(status, 200, usage)
        self.assertIn(str(COST), str(usage))
        # One cent is 10,000,000 nano-dollars, and a call is expected to cost 2,000,000 and its input: the limit
        # holds before it is reached.
        calls = 1
        while (turn := self.after(session["id"]))["status"] == "completed":
            calls += 1
            self.assertLess(calls, 60, "the limit never holds")
        self.assertEqual(turn["error"]["code"], "session_budget_exceeded", turn)
        self.assertEqual(self.model.count(), calls)
        self.assertEqual(self.budget()["spent_nano"], calls * COST)
        self.assertLessEqual(calls * COST, 10_000_000)

        self.set_budget(calls * COST)
        status, other = self.create("paid")
        self.assertEqual(status, 201, other)
        turn = self.turn_of(other["id"])
        self.assertEqual(turn["error"]["code"], "project_spend_limit_exceeded", turn)
        self.assertEqual(self.model.count(), calls)

    def test_the_scripted_model_is_free(self):
        self.set_budget(0)
        status, session = self.create("demo", 1)
        self.assertEqual(status, 201, session)
        self.assertEqual(self.turn_of(session["id"])["status"], "completed")
        self.assertEqual(self.budget()["spent_nano"], 0)

    def after(self, session):
        self.assertEqual(self.server.send(session, [message("hello")])[0], 202)
        return self.turn_of(session)


if __name__ == "__main__":
    result = unittest.main(exit=False, verbosity=1).result
    bad = len(result.failures) + len(result.errors)
    print(f"{result.testsRun - bad} passed, {bad} failed")
    sys.exit(bad > 0)
