#!/usr/bin/env python3
"""The recipes of deploy/ and of docs/operations/backup.md, run as they stand there.

    run.py --binary PATH

HAProxy, etcd, Patroni and PostgreSQL are Debian's, on free ports of 127.0.0.1; systemd's own programs judge
its unit. Without root Patroni runs as whoever runs this. The last line is "N passed, N failed".
"""

import argparse
import json
import os
import pwd
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import tomllib
import unittest
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from perdure_test import HANG, Model, Scratch, Server, ServerDied, message  # noqa: E402
from postgres import PROGRAMS, Postgres, reachable_directory  # noqa: E402

BINARY = None
KEY = "an example of a master key, long enough"
DEPLOY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "deploy")


def free_ports(count):
    """Ports that nobody listens on. Whoever takes one first has it; who comes too late says so and fails."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Recipe(unittest.TestCase):
    def setUp(self):
        self.scratch = self.enterContext(Scratch())
        self.model = Model()
        self.addCleanup(self.model.close)

    def node(self, name, url="", more=""):
        directory = os.path.join(self.scratch, name)
        os.makedirs(directory, exist_ok=True)
        store = f'[store]\nurl = "{url}"\n' if url else ""
        server = Server(BINARY, directory, self.model.config(store + more), {"PERDURE_MASTER_KEY": KEY})
        self.addCleanup(server.close)
        return server

    def run_program(self, *command, user=None, **options):
        log = open(os.path.join(self.scratch, os.path.basename(command[0]) + ".log"), "ab")
        self.addCleanup(log.close)
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **(user or {}), **options)

        def end():
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

        self.addCleanup(end)
        return process

    def wait(self, true, what="it did not come to pass"):
        end = time.monotonic() + HANG
        while time.monotonic() < end:
            if true():
                return
            time.sleep(0.05)
        self.fail(what)

    def again(self, what):
        """What a client that repeats 503s and broken connections gets."""
        end = time.monotonic() + HANG
        while True:
            try:
                answer = what()
                if answer[0] not in (502, 503) or time.monotonic() > end:
                    return answer
            except (ServerDied, AssertionError):
                self.assertLess(time.monotonic(), end)
            time.sleep(0.05)

    def messages(self, server, session):
        return [part["text"] for item in server.items(session) if item["type"] == "message" and item["role"] == "user"
                for part in item["content"]]

    def conversation(self, server, *texts):
        status, _, session = server.create(texts[0])
        self.assertEqual(status, 201, session)
        server.wait_for(session["id"], "idle")
        for text in texts[1:]:
            self.assertEqual(server.send(session["id"], [message(text)])[0], 202)
            server.wait_for(session["id"], "idle")
        return session["id"]


class Talker(threading.Thread):
    """Sends one message after the other to a session, to its servers in turns, until told to stop. A context
    manager: in the end every message that was acknowledged is in `sent`."""

    def __init__(self, test, session, servers, sent):
        super().__init__(daemon=True)
        self.test, self.session, self.servers = test, session, servers
        self.sent, self.failures = list(sent), []
        self.told = threading.Event()

    def run(self):
        while not self.told.is_set():
            text = f"message {len(self.sent)}"
            server = self.servers[len(self.sent) % len(self.servers)]
            status, _, answer = self.test.again(lambda: server.send(self.session, [message(text)], key=text))
            if status != 202:
                self.failures.append((status, answer))
                return
            self.sent.append(text)
            time.sleep(0.02)

    def wait_for_more(self, count):
        before = len(self.sent)
        self.test.wait(lambda: len(self.sent) > before + count or self.failures)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.told.set()
        self.join(HANG)
        self.test.assertEqual(self.failures, [])


class Systemd(Recipe):
    def test_the_unit_is_sound_and_closed(self):
        with open(os.path.join(DEPLOY, "systemd", "perdure.service"), encoding="utf-8") as file:
            text = file.read()
        unit = os.path.join(self.scratch, "perdure.service")
        with open(unit, "w", encoding="utf-8") as file:
            file.write(text.replace("/usr/bin/perdure", BINARY))
        verified = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True)
        ours = [line for line in verified.stderr.splitlines() if "perdure" in line]
        self.assertEqual((verified.returncode, ours), (0, []), verified.stderr)
        judged = subprocess.run(["systemd-analyze", "security", "--offline=yes", "--threshold=20", unit],
                                capture_output=True, text=True)
        self.assertEqual(judged.returncode, 0, judged.stdout + judged.stderr)

    def test_its_configuration_is_one(self):
        name = os.path.join(DEPLOY, "systemd", "perdure.toml")
        with open(name, "rb") as file:
            data = tomllib.load(file)["server"]["data_dir"]
        with open(name, encoding="utf-8") as file:
            text = file.read()
        server = self.node("a")
        with open(server.config, "w", encoding="utf-8") as file:
            file.write(text.replace(data, os.path.join(server.directory, "state")))
        server.command, server.environment = "serve", {}
        server.data = os.path.join(server.directory, "state")
        server.start()
        self.assertTrue(os.path.exists(os.path.join(server.directory, "state", "master_key")))


class Haproxy(Recipe):
    def setUp(self):
        super().setUp()
        self.postgres = self.enterContext(Postgres())
        self.nodes = [self.node(name, self.postgres.url).start() for name in ("a", "b")]
        self.proxy = self.node("proxy")  # a client of HAProxy: never started
        self.proxy.port, = free_ports(1)
        self.environment = {**os.environ, "PERDURE_BIND": f"127.0.0.1:{self.proxy.port}",
                            **{f"PERDURE_NODE_{n}": f"127.0.0.1:{node.port}" for n, node in enumerate(self.nodes, 1)}}
        self.config = os.path.join(DEPLOY, "haproxy", "haproxy.cfg")
        self.run_program("haproxy", "-db", "-f", self.config, env=self.environment)
        self.again(lambda: self.proxy.request("GET", "/readyz"))

    def test_its_configuration_has_no_warning(self):
        checked = subprocess.run(["haproxy", "-c", "-f", self.config], env=self.environment, capture_output=True,
                                 text=True)
        self.assertEqual(checked.returncode, 0, checked.stderr)
        self.assertNotIn("WARNING", checked.stderr)

    def test_one_address_for_all(self):
        session = self.conversation(self.proxy, "one", "two", "three")
        self.assertEqual(self.messages(self.proxy, session), ["one", "two", "three"])

    def test_a_client_goes_on_when_a_server_dies(self):
        session = self.conversation(self.proxy, "one")
        seen, done = [], threading.Event()

        def follow():
            """As the SDKs do: rejoins behind the last event that it saw."""
            last, begin = None, f"/v1/agents/sessions/{session}/events"
            while not done.is_set():
                try:
                    for name, event in self.proxy.stream(begin, headers={"Last-Event-ID": last} if last else None):
                        last = name or last
                        seen.append((name, event["type"]))
                        if event["type"] == "agent.session.idle" and done.is_set():
                            return
                except (ServerDied, AssertionError):
                    time.sleep(0.05)

        reader = threading.Thread(target=follow, daemon=True)
        reader.start()
        sent = ["one"]
        for number in range(12):
            if number == 4:
                self.nodes[0].kill()
            if number == 8:
                self.nodes[0].start()
            text = f"message {number}"
            status, _, answer = self.again(
                lambda text=text: self.proxy.send(session, [message(text)], key=text))
            self.assertEqual(status, 202, answer)
            sent.append(text)
        self.wait(lambda: self.again(
            lambda: self.proxy.request("GET", f"/v1/agents/sessions/{session}"))[2]["status"] == "idle")
        done.set()
        self.assertEqual(self.again(lambda: self.proxy.send(session, [message("last")], key="last"))[0], 202)
        reader.join(HANG)
        self.assertFalse(reader.is_alive())
        self.assertEqual(self.messages(self.proxy, session), [*sent, "last"])
        named = [name for name, _ in seen if name]
        self.assertEqual(len(named), len(set(named)), "no event came twice")

    def test_a_restart_one_after_the_other_is_not_noticed(self):
        session = self.conversation(self.proxy, "one")
        with Talker(self, session, [self.proxy], ["one"]) as talker:
            for node in self.nodes:
                talker.wait_for_more(3)
                port = node.port
                node.stop()
                node.arguments = ["--listen", f"127.0.0.1:{port}"]
                node.start()
        self.proxy.wait_for(session, "idle")
        self.assertEqual(self.messages(self.proxy, session), talker.sent)


class Backup(Recipe):
    def test_sqlite_copied_while_the_server_runs(self):
        server = self.node("a").start()
        session = self.conversation(server, "before")
        copy = os.path.join(self.scratch, "copy.db")
        with sqlite3.connect(os.path.join(server.data, "perdure.db")) as source, sqlite3.connect(copy) as target:
            source.backup(target)
        self.assertEqual(server.send(session, [message("after")])[0], 202)
        server.wait_for(session, "idle")
        server.stop()
        for end in ("-wal", "-shm"):
            if os.path.exists(os.path.join(server.data, "perdure.db" + end)):
                os.unlink(os.path.join(server.data, "perdure.db" + end))
        os.replace(copy, os.path.join(server.data, "perdure.db"))
        server.start()
        self.assertEqual(self.messages(server, session), ["before"])
        self.assertEqual(server.send(session, [message("again")])[0], 202)
        server.wait_for(session, "idle")
        self.assertEqual(self.messages(server, session), ["before", "again"])

    def test_postgresql_dumped_and_restored(self):
        postgres = self.enterContext(Postgres())
        server = self.node("a", postgres.url).start()
        session = self.conversation(server, "before")
        dump = os.path.join(self.scratch, "dump")
        programs = ["-U", "tester", "-h", postgres.directory]
        subprocess.run([PROGRAMS + "pg_dump", "-Fc", *programs, "-f", dump, "perdure"], check=True)
        self.assertEqual(server.send(session, [message("after")])[0], 202)
        server.wait_for(session, "idle")
        server.stop()
        postgres.sql("DROP DATABASE perdure WITH (FORCE)")
        postgres.sql("CREATE DATABASE perdure")
        subprocess.run([PROGRAMS + "pg_restore", *programs, "-d", "perdure", dump], check=True)
        server.start()
        self.assertEqual(self.messages(server, session), ["before"])
        self.assertEqual(server.send(session, [message("again")])[0], 202)
        server.wait_for(session, "idle")
        self.assertEqual(self.messages(server, session), ["before", "again"])


class Patroni(Recipe):
    NAMES = ("db1", "db2")

    def setUp(self):
        super().setUp()
        self.user = {}
        if os.geteuid() == 0:  # PostgreSQL refuses root
            entry = pwd.getpwnam("postgres")
            self.user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        self.directory = os.path.join(reachable_directory(), os.path.basename(self.scratch) + "-db")
        os.mkdir(self.directory, 0o700)
        self.addCleanup(subprocess.run, ["rm", "-rf", self.directory])
        if self.user:
            os.chown(self.directory, self.user["user"], self.user["group"])
        client, peer, *rest = free_ports(6)
        self.rest, self.ports = dict(zip(self.NAMES, rest)), dict(zip(self.NAMES, rest[2:]))
        self.run_program("etcd", "--name", "etcd1", "--data-dir", os.path.join(self.directory, "etcd"),
                         "--listen-client-urls", f"http://127.0.0.1:{client}",
                         "--advertise-client-urls", f"http://127.0.0.1:{client}",
                         "--listen-peer-urls", f"http://127.0.0.1:{peer}",
                         "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
                         "--initial-cluster", f"etcd1=http://127.0.0.1:{peer}", user=self.user, cwd="/")
        self.etcd = f"127.0.0.1:{client}"
        self.patronis = {name: self.start_patroni(name) for name in self.NAMES}
        self.wait(lambda: self.role_of("db1") and self.role_of("db2"), "no primary")
        self.wait(lambda: self.sync_standby() is not None, "no synchronous standby")
        self.sql("CREATE DATABASE perdure")
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports.values())
        self.url = f"postgresql://postgres:secret@{hosts}/perdure?target_session_attrs=read-write"

    def start_patroni(self, name):
        environment = {
            "PATH": os.environ["PATH"], "HOME": self.directory, "LANG": "C.UTF-8", "PATRONI_NAME": name,
            "PATRONI_ETCD3_HOSTS": self.etcd,
            "PATRONI_RESTAPI_LISTEN": f"127.0.0.1:{self.rest[name]}",
            "PATRONI_RESTAPI_CONNECT_ADDRESS": f"127.0.0.1:{self.rest[name]}",
            "PATRONI_POSTGRESQL_LISTEN": f"127.0.0.1:{self.ports[name]}",
            "PATRONI_POSTGRESQL_CONNECT_ADDRESS": f"127.0.0.1:{self.ports[name]}",
            "PATRONI_POSTGRESQL_DATA_DIR": os.path.join(self.directory, name),
            "PATRONI_POSTGRESQL_BIN_DIR": PROGRAMS.rstrip("/"),
            "PATRONI_SUPERUSER_PASSWORD": "secret", "PATRONI_REPLICATION_PASSWORD": "secret too"}
        config = os.path.join(self.directory, "patroni.yml")
        with open(os.path.join(DEPLOY, "patroni", "patroni.yml"), encoding="utf-8") as file:
            text = file.read()
        # Two on one machine: their sockets would meet in one directory.
        with open(config, "w", encoding="utf-8") as file:
            file.write(text + f"  parameters:\n    unix_socket_directories: {self.directory}\n"
                       "    recovery_init_sync_method: syncfs\n")
        os.chmod(config, 0o644)
        return self.run_program("patroni", config, user=self.user, env=environment, cwd="/", process_group=0)

    def asked(self, name):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.rest[name]}/patroni", timeout=5) as answer:
                return json.load(answer)
        except OSError as error:
            body = getattr(error, "read", lambda: b"")()
            return json.loads(body) if body else {}

    def role_of(self, name):
        state = self.asked(name)
        return state.get("role") if state.get("state") == "running" else None

    def primary(self):
        return next((name for name in self.NAMES if self.role_of(name) in ("master", "primary")), None)

    def sync_standby(self):
        return next((name for name in self.NAMES if self.asked(name).get("sync_standby")), None)

    def sql(self, text):
        return subprocess.run(
            [PROGRAMS + "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-h", "127.0.0.1",
             "-p", str(self.ports[self.primary()]), "-d", "postgres", "-c", text], check=True,
            env={**os.environ, "PGPASSWORD": "secret"}, stdout=subprocess.PIPE, text=True).stdout

    def test_a_failover_loses_nothing(self):
        nodes = [self.node(name, self.url).start() for name in ("a", "b")]
        session = self.conversation(nodes[0], "one")
        with Talker(self, session, nodes, ["one"]) as talker:
            talker.wait_for_more(5)
            old = self.primary()
            # Its machine dies: Patroni, PostgreSQL and what they started.
            with open(os.path.join(self.directory, old, "postmaster.pid"), encoding="utf-8") as file:
                pid = int(file.readline())
            killed = time.monotonic()
            self.patronis[old].send_signal(signal.SIGKILL)
            os.kill(pid, signal.SIGKILL)
            self.patronis[old].wait()
            self.wait(lambda: self.primary() not in (None, old), "nobody took over")
            taken = time.monotonic() - killed
            # Strictly synchronous: commits wait until there is a standby again.
            self.patronis[old] = self.start_patroni(old)
            talker.wait_for_more(5)
        print(f"a standby had taken over after {taken:.1f} s, inputs were taken again after "
              f"{time.monotonic() - killed:.1f} s", flush=True)
        for node in nodes:
            self.assertIsNone(node.process.poll(), "a node ended itself")
            self.again(lambda node=node: node.request("GET", f"/v1/agents/sessions/{session}"))
        nodes[0].wait_for(session, "idle")
        self.assertEqual(self.messages(nodes[0], session), talker.sent)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    arguments, rest = parser.parse_known_args()
    BINARY = os.path.abspath(arguments.binary)
    result = unittest.main(argv=[sys.argv[0], *rest], exit=False, verbosity=2).result
    failed = len(result.failures) + len(result.errors)
    print(f"{result.testsRun - failed} passed, {failed} failed")
    sys.exit(failed > 0)
