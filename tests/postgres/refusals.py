#!/usr/bin/env python3
"""A database that cannot be used: one clear sentence, nothing written, and what was taken is kept.

    refusals.py --binary PATH

At a start the server says in one line what is wrong and ends with status 1, or 2 where the setting itself is
wrong; while it runs, clients get 503 with Retry-After until the database is there again. The last line is
"N passed, N failed".
"""

import argparse
import os
import socket
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from perdure_test import HANG, Model, Scratch, Server, message  # noqa: E402
from postgres import Postgres  # noqa: E402

BINARY = None
KEY = "an example of a master key, long enough"
PASSWORD = "a-password-nobody-may-read"


class Refusals(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.postgres = cls.enterClassContext(Postgres())
        cls.model = Model()
        cls.addClassCleanup(cls.model.close)
        # `guarded` must say its password, the others need none.
        path = os.path.join(cls.postgres.data, "pg_hba.conf")
        with open(path, encoding="utf-8") as file:
            rules = file.read()
        with open(path, "w", encoding="utf-8") as file:
            file.write("local all guarded scram-sha-256\n" + rules)
        cls.postgres.sql(f"CREATE ROLE guarded LOGIN PASSWORD '{PASSWORD}'")
        cls.postgres.sql("SELECT pg_reload_conf()")

    def setUp(self):
        self.scratch = self.enterContext(Scratch())

    def database(self, name, owner="tester"):
        """A new, empty one, and its URL for `owner`."""
        self.postgres.sql(f"CREATE DATABASE {name} OWNER {owner}")
        return self.url(name, owner)

    def url(self, name, user="tester"):
        return f"postgresql://{user}@/{name}?host={self.postgres.directory}"

    def server(self, url):
        server = Server(BINARY, self.scratch, self.model.config(f'[store]\nurl = "{url}"\n'),
                        {"PERDURE_MASTER_KEY": KEY})
        self.addCleanup(server.close)
        return server

    def refusal(self, url, status=1):
        """What a start says, which must be one line."""
        done = subprocess.run(
            [BINARY, "serve", "--data-dir", os.path.join(self.scratch, "data"), "--listen", "127.0.0.1:0", "--store",
             url], env={"PATH": os.environ["PATH"], "HOME": self.scratch, "PERDURE_MASTER_KEY": KEY},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=HANG, check=False)
        self.assertEqual(done.returncode, status, done.stderr)
        said = [line for line in done.stderr.splitlines() if line.startswith("perdure: ")]
        self.assertEqual(len(said), 1, done.stderr)
        self.assertNotIn(PASSWORD, done.stderr)
        return said[0]

    def tables(self, name):
        return int(self.postgres.sql_in(name, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"))

    # ---- at a start -----------------------------------------------------------------------------

    def test_no_url_of_a_database(self):
        self.assertIn("postgresql://", self.refusal("mysql://127.0.0.1/perdure", status=2))

    def test_a_url_with_a_word_that_is_none(self):
        self.assertIn("cannot be understood", self.refusal(self.url("perdure") + "&colour=red", status=2))

    def test_nobody_listens(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))  # bound, never listening
            port = free.getsockname()[1]
            said = self.refusal(f"postgresql://tester@127.0.0.1:{port}/perdure")
        self.assertIn(str(port), said)
        self.assertIn("refused", said)

    def test_no_such_database(self):
        self.assertIn('database "nowhere" does not exist', self.refusal(self.url("nowhere")))

    def test_a_wrong_password(self):
        url = self.url("perdure", f"guarded:{PASSWORD}x")
        self.assertIn('password authentication failed for user "guarded"', self.refusal(url))

    def test_missing_rights(self):
        self.database("foreign_one")
        said = self.refusal(self.url("foreign_one", f"guarded:{PASSWORD}"))
        self.assertIn("permission denied", said)
        self.assertEqual(self.tables("foreign_one"), 0)

    def test_a_database_that_only_reads(self):
        url = self.database("readers")
        self.postgres.sql("ALTER DATABASE readers SET default_transaction_read_only = on")
        self.assertIn("read", self.refusal(url))
        self.assertEqual(self.tables("readers"), 0)

    def test_a_schema_of_a_newer_version(self):
        url = self.database("newer")
        server = self.server(url).start()
        server.stop()
        self.postgres.sql_in("newer", "UPDATE schema_version SET version = version + 1000")
        self.assertIn("newer", self.refusal(url))

    def test_no_connection_is_left(self):
        url = self.database("crowded", "guarded").replace("guarded@", f"guarded:{PASSWORD}@")
        self.postgres.sql("ALTER DATABASE crowded CONNECTION LIMIT 0")
        self.assertIn("too many connections", self.refusal(url))

    # ---- while it runs --------------------------------------------------------------------------

    def test_connections_that_run_out_lose_nothing(self):
        url = self.database("run_out", "guarded").replace("guarded@", f"guarded:{PASSWORD}@")
        server = self.server(url).start()
        status, _, session = server.create("one", key="one")
        self.assertEqual(status, 201, session)
        server.wait_for(session["id"], "idle")
        self.postgres.sql("ALTER DATABASE run_out CONNECTION LIMIT 0")
        self.postgres.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'guarded'")
        end = time.monotonic() + HANG
        while True:
            status, headers, body = server.send(session["id"], [message("two")], "two")
            if status != 202 or time.monotonic() > end:
                break
            time.sleep(0.05)
        self.assertEqual(status, 503, body)
        self.assertIn("Retry-After", headers)
        self.assertNotIn(PASSWORD, str(body))
        self.postgres.sql("ALTER DATABASE run_out CONNECTION LIMIT -1")
        while status == 503 and time.monotonic() < end:
            status, _, body = server.send(session["id"], [message("two")], "two")
            time.sleep(0.05)
        self.assertEqual(status, 202, body)
        server.wait_for(session["id"], "idle")
        said = [part["text"] for item in server.items(session["id"]) if item.get("role") == "user"
                for part in item["content"]]
        self.assertEqual(said, ["one", "two"])
        self.assertIsNone(server.process.poll())


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    arguments, rest = parser.parse_known_args()
    BINARY = os.path.abspath(arguments.binary)
    result = unittest.main(argv=[sys.argv[0], *rest], exit=False, verbosity=2).result
    failed = len(result.failures) + len(result.errors)
    print(f"{result.testsRun - failed} passed, {failed} failed")
    sys.exit(failed > 0)
