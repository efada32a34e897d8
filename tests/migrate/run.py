#!/usr/bin/env python3
"""A server's store is moved to PostgreSQL and back: the session goes on, and killing the move costs nothing.

The model is a stand-in that says what it was sent, so a lost context would be seen.
  PERDURE_BINARY=build/release/perdure python3 tests/migrate/run.py
"""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from perdure_test import HANG, Model, Scratch, Server, ServerDied, message  # noqa: E402
from postgres import PROGRAMS, Postgres  # noqa: E402

LARGE = "all of it: " + "x" * 40_000  # more than stands in an entry


class Migrate(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.postgres = Postgres().__enter__()
        cls.addClassCleanup(cls.postgres.__exit__)

    def setUp(self):
        scratch = Scratch()
        self.directory = scratch.__enter__()
        self.addCleanup(scratch.__exit__)
        self.model = Model()
        self.addCleanup(self.model.close)
        self.postgres.sql("DROP DATABASE IF EXISTS perdure WITH (FORCE)")
        self.postgres.sql("CREATE DATABASE perdure")
        self.url = self.postgres.url
        self.server = self.make_server()

    def make_server(self, data=None):
        server = Server(os.environ["PERDURE_BINARY"], self.directory, self.model.config())
        if data:
            server.data = os.path.join(self.directory, data)
        self.addCleanup(server.close)
        return server

    def on_postgres(self, server):
        server.arguments = ["--listen", "127.0.0.1:0", "--store", self.url]
        return server

    def command(self, *arguments, data=None):
        return [os.environ["PERDURE_BINARY"], "migrate", *arguments, "--data-dir", data or self.server.data,
                "--config", self.server.config]

    def environment(self):
        return {"PATH": os.environ["PATH"], "HOME": self.directory, "PERDURE_STORE": self.url,
                **{name: os.environ[name] for name in ("PERDURE_BUG", "ASAN_OPTIONS") if name in os.environ}}

    def migrate(self, *arguments, status=0, data=None):
        done = subprocess.run(self.command(*arguments, data=data), env=self.environment(), capture_output=True,
                              text=True, timeout=HANG)
        self.assertEqual(done.returncode, status, done.stderr + done.stdout)
        return done

    def psql(self, text):
        return subprocess.Popen(
            [PROGRAMS + "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "tester", "-h",
             self.postgres.directory, "-d", "perdure", "-c", text], stdout=subprocess.PIPE, text=True)

    def ask(self, text):
        with self.psql(text) as asked:
            return asked.communicate()[0].strip()

    def wait_until(self, what):
        end = time.monotonic() + HANG
        while time.monotonic() < end:
            if what():
                return
            time.sleep(0.01)
        self.fail("it did not come to that")

    def moved_to(self):
        with sqlite3.connect(self.server.data + "/perdure.db") as file:
            return file.execute("SELECT value FROM meta WHERE name = 'moved_to'").fetchone()

    def fails_to_start(self, server, sentence):
        with self.assertRaises(ServerDied):
            server.start()
        with open(os.path.join(self.directory, "server.log"), encoding="utf-8") as log:
            self.assertIn(sentence, log.read())

    def talk(self, server, session, text):
        """One more turn; what the model was sent for it."""
        self.assertEqual(server.send(session, [message(text)])[0], 202)
        self.wait_until(lambda: any(text in json.dumps(item) for item in server.items(session)))
        server.wait_for(session, "idle")
        return [part["content"] for part in self.model.requests[-1]["messages"]]

    def fill(self, sessions=1):
        """Starts a server on SQLite, makes sessions, and stops it; their ids."""
        self.server.start()
        made = []
        for number in range(sessions):
            status, _, body = self.server.create(f"number {number}", key=f"key-{number}")
            self.assertIn(status, (200, 201), body)
            made.append(body["id"])
            self.server.wait_for(body["id"], "idle")
            self.talk(self.server, body["id"], LARGE + str(number))
        self.items = {session: self.server.items(session) for session in made}
        self.server.stop()
        return made

    def test_a_session_goes_on_in_the_other_store_and_back(self):
        session, = self.fill()
        done = self.migrate("--from", "sqlite", "--to", self.url)
        self.assertIn("SHA-256, SAME ON BOTH SIDES", done.stdout)
        self.assertRegex(done.stdout, r"journal +\d+ +\d+ +[0-9a-f]{16}")
        self.assertRegex(done.stderr, r"^Moved the store in .* to database 'perdure' at .*\n$")
        self.fails_to_start(self.server, "was moved to database 'perdure'")

        server = self.on_postgres(self.make_server("elsewhere"))
        server.start()
        self.assertEqual(server.items(session), self.items[session])
        # A request that is repeated gets the answer that was given before the move.
        status, _, body = server.create("number 0", key="key-0")
        self.assertEqual((status < 300, body["id"]), (True, session))
        sent = self.talk(server, session, "and on")
        self.assertEqual([text for text in sent if text == LARGE + "0"], [LARGE + "0"])
        self.assertIn("number 0", sent)
        self.items[session] = server.items(session)
        server.stop()

        # Not over what is there, and with the URL of the configuration.
        refused = self.migrate("--from", "postgresql", "--to", "sqlite", status=1)
        self.assertIn("is not empty: it holds what was moved to database 'perdure'", refused.stderr)
        back = self.make_server("back")
        done = self.migrate("--from", "postgresql", "--to", "sqlite", "--json", data=back.data)
        summary = json.loads(done.stdout)
        self.assertFalse(summary["kept_source"])
        rows = {table["table"]: table["rows"] for table in summary["tables"]}
        self.assertGreaterEqual(rows["journal"], 10)
        self.assertEqual(rows["session"], 1)
        self.assertEqual(done.stderr, "")
        self.fails_to_start(server, "was moved to the store in ")
        back.start()
        self.assertEqual(back.items(session), self.items[session])
        sent = self.talk(back, session, "at home")
        self.assertTrue({"number 0", LARGE + "0", "and on"} <= set(sent))
        back.stop()

    def test_killed_at_any_moment_it_can_be_done_again(self):
        sessions = self.fill(3)
        chance = random.Random(os.environ.get("PERDURE_SEED", "7"))
        for _ in range(12):
            process = subprocess.Popen(self.command("--from", "sqlite", "--to", self.url), env=self.environment(),
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            # Anything between its first breath and its end; whatever it hits, the same must hold.
            try:
                process.wait(chance.uniform(0.0, 0.4))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            half = filled = False
            if self.ask("SELECT to_regclass('usage') IS NOT NULL") == "t":
                half = self.ask("SELECT count(*) FROM meta WHERE name = 'migrating'") != "0"
                filled = self.ask("SELECT count(*) FROM session") != "0"
            if filled and not half:
                self.assertTrue(self.moved_to(), "both stores are whole, and neither says so")
            if half:
                self.fails_to_start(self.on_postgres(self.make_server("elsewhere")), "holds an unfinished copy of")
            if self.moved_to() and not half:
                break
        if not self.moved_to() or half:
            self.migrate("--from", "sqlite", "--to", self.url)
        refused = self.migrate("--from", "sqlite", "--to", self.url, status=1)
        self.assertIn("was moved to database 'perdure'", refused.stderr)
        server = self.on_postgres(self.make_server("elsewhere"))
        server.start()
        for session in sessions:
            self.assertEqual(server.items(session), self.items[session])
            self.talk(server, session, "and on")
        server.stop()

    def test_ctrl_c_ends_it_and_the_source_goes_on(self):
        session, = self.fill()
        server = self.on_postgres(self.make_server("elsewhere"))
        server.start()  # makes the tables
        server.stop()
        # It waits for this one, and hears the signal all the same.
        holder = self.psql("BEGIN; LOCK TABLE usage IN ACCESS SHARE MODE; SELECT pg_sleep(300)")
        self.addCleanup(holder.communicate)
        self.addCleanup(holder.kill)
        held = "SELECT count(*) FROM pg_locks WHERE {} AND relation = 'usage'::regclass"
        self.wait_until(lambda: self.ask(held.format("granted")) != "0")
        process = subprocess.Popen(self.command("--from", "sqlite", "--to", self.url), env=self.environment(),
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.wait_until(lambda: self.ask(held.format("NOT granted")) != "0")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=HANG)
        self.assertEqual((process.returncode, out), (130, ""))
        self.assertEqual(err.count("\n"), 1, err)
        self.assertIn("is as it was", err)
        self.assertIn("the same command again starts over", err)
        self.server.start()
        self.talk(self.server, session, "and on")
        self.server.stop()

    def test_what_cannot_be_is_said_and_nothing_is_done(self):
        for arguments, sentence in (
                (("--from", "sqlite", "--to", "sqlite"), "one of --from and --to is 'sqlite'"),
                (("--from", self.url, "--to", "postgresql"), "one of --from and --to is 'sqlite'"),
                (("--from", "sqlite", "--to", "mysql://me:s3cret@db"), "--to: this is not a store"),
                (("--from", "sqlite"), "--to is required")):
            refused = self.migrate(*arguments, status=2)
            self.assertIn(sentence, refused.stderr)
            self.assertNotIn("s3cret", refused.stderr)
        refused = self.migrate("--from", "sqlite", "--to", self.url, status=1)
        self.assertIn("There is no store in ", refused.stderr)
        refused = self.migrate("--from", self.url, "--to", "sqlite", status=1)
        self.assertIn("holds no store", refused.stderr)
        self.assertEqual(self.ask("SELECT count(*) FROM pg_class WHERE relname = 'session'"), "0")
        # A server that runs keeps its directory.
        self.server.start()
        refused = self.migrate("--from", "sqlite", "--to", self.url, status=1)
        self.assertIn("is in use by process", refused.stderr)
        self.server.stop()


if __name__ == "__main__":
    unittest.main(verbosity=2)
