#!/usr/bin/env python3
"""Two nodes and PostgreSQL in network namespaces, and what networks, machines and databases do to them.

    run.py --binary PATH [--rounds N] [--seed N]

Everything happens in namespaces that this program makes: itself moves into one without a way out, and
each node and the database get one within it, joined by two bridges: over one clients and nodes reach nodes,
over the other nodes reach the database. So a node can lose either alone. Clients send meanwhile, each
request with an Idempotency-Key, until it is taken. In the end:

  - every acknowledged input is in its session once, in order, and every turn has ended
  - no session's journal has a gap, and each entry one epoch, never an older one than the entry before it
  - no effect is open, no reservation, and no alarm that was due

Where namespaces are forbidden it says so and is skipped. The last line is "N passed, N failed, N skipped".
"""

import argparse
import contextlib
import ctypes
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from perdure_test import HANG, Model, Scratch, Server, ServerDied  # noqa: E402
from postgres import Postgres  # noqa: E402
from writers import Writer  # noqa: E402

KEY = "an example of a master key, long enough"
CLIENTS, DATABASE = "10.99.1", "10.99.2"  # networks of ours alone: nothing leads out of the namespace
CLONE_NEWNET, CLONE_NEWNS = 0x40000000, 0x00020000


class Skipped(Exception):
    """This machine cannot do that to a network."""


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


def leave_the_world():
    """This process into namespaces of its own; False where that is forbidden."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET | CLONE_NEWNS) != 0:
        return False
    with contextlib.suppress(OSError):
        os.makedirs("/run/netns", exist_ok=True)
    try:
        subprocess.run(["mount", "--make-rprivate", "/"], check=True, capture_output=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run/netns"], check=True, capture_output=True)
        ip("link", "set", "lo", "up")
        for bridge, network in (("clients", CLIENTS), ("database", DATABASE)):
            ip("link", "add", bridge, "type", "bridge")
            ip("link", "set", bridge, "up")
            ip("address", "add", f"{network}.1/24", "dev", bridge)
    except (OSError, subprocess.CalledProcessError) as error:
        print(getattr(error, "stderr", error))
        return False
    return True


class Place:
    """A namespace, with a cable to each network that can be pulled."""

    def __init__(self, name, number, networks):
        self.name = name
        self.prefix = ["ip", "netns", "exec", name]
        ip("netns", "add", name)
        ip("-n", name, "link", "set", "lo", "up")
        for network, bridge in networks:
            cable = f"{bridge[:2]}-{name}"
            ip("link", "add", cable, "type", "veth", "peer", "name", bridge, "netns", name)
            ip("link", "set", cable, "master", bridge, "up")
            ip("-n", name, "address", "add", f"{network}.{number}/24", "dev", bridge)
            ip("-n", name, "link", "set", bridge, "up")

    def pull(self, bridge):
        ip("link", "set", f"{bridge[:2]}-{self.name}", "down")

    def plug(self, bridge):
        ip("link", "set", f"{bridge[:2]}-{self.name}", "up")


class Node(Server):
    def __init__(self, binary, directory, place, number, model, url):
        os.makedirs(directory, exist_ok=True)
        self.place = place
        address = f"{CLIENTS}.{number}"
        config = model.config(f'[store]\nurl = "{url}"\n[server]\nhosts = ["{address}"]\n').replace(
            "127.0.0.1", f"{CLIENTS}.1")
        super().__init__(binary, directory, config, {"PERDURE_MASTER_KEY": KEY}, ["--listen", f"{address}:8787"])
        self.command, self.host, self.prefix, self.patience = "serve", address, place.prefix, 10

    def start(self, environment=None, wait=True):
        super().start(environment, wait=False)
        end = time.monotonic() + HANG
        self.port = 8787
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise ServerDied(f"exit status {self.process.returncode}")
            with contextlib.suppress(OSError, ValueError, KeyError, ServerDied):
                with open(os.path.join(self.data, "server.json"), encoding="utf-8") as file:
                    self.token = json.load(file)["token"]
                if self.request("GET", "/readyz")[0] == 200:
                    return self
            time.sleep(0.05)
        raise AssertionError(f"{self.place.name} did not become ready")

    def alive(self):
        return self.process.poll() is None


class Chaos:
    def __init__(self, binary, seed, stack):
        self.chance = random.Random(seed)
        self.scratch = stack.enter_context(Scratch())
        both = ((CLIENTS, "clients"), (DATABASE, "database"))
        self.database = Place("db", 2, both[1:])
        self.postgres = stack.enter_context(Postgres())
        self.serve_database()
        self.model = Model(address=f"{CLIENTS}.1")
        stack.callback(self.model.close)
        url = f"postgresql://tester@{DATABASE}.2:5432/perdure"
        self.nodes = []
        for number in (11, 12):
            place = Place(f"node{number}", number, both)
            node = Node(binary, os.path.join(self.scratch, place.name), place, number, self.model, url)
            stack.callback(node.close)
            self.nodes.append(node.start())
        # A key for both, as a user makes one.
        status, _, made = self.nodes[0].request("POST", "/api/keys", {"name": "chaos"})
        assert status in (200, 201), (status, made)
        for node in self.nodes:
            node.token = made["secret"] if "secret" in made else made["key"]

    def serve_database(self):
        """The same database again, in its namespace, over TCP."""
        self.postgres.crash()
        user = self.postgres.user or {"user": os.geteuid(), "group": os.getegid()}
        self.postgres.prefix = [*self.database.prefix, "setpriv", f"--reuid={user['user']}",
                                f"--regid={user['group']}", "--clear-groups"]
        self.postgres.arguments = ["-c", f"listen_addresses={DATABASE}.2"]
        with open(os.path.join(self.postgres.data, "pg_hba.conf"), "a", encoding="utf-8") as file:
            file.write(f"host all all {DATABASE}.0/24 trust\n")
        self.postgres.start()

    # Misfortunes: each ends with what was broken mended.

    def a_node_is_cut_from_the_database(self, node):
        node.place.pull("database")
        self.rest(1, 8)
        node.place.plug("database")

    def a_node_is_cut_from_everybody_but_the_database(self, node):
        node.place.pull("clients")
        self.rest(1, 6)
        node.place.plug("clients")

    def a_node_is_cut_from_everything(self, node):
        node.place.pull("clients")
        node.place.pull("database")
        self.rest(1, 8)
        node.place.plug("database")
        node.place.plug("clients")

    def a_node_stands_still(self, node):
        """For longer than its lease; then it goes on in the middle of whatever it did."""
        pid = node.process.pid  # ip netns exec becomes the program
        os.kill(pid, signal.SIGSTOP)
        self.rest(3.5, 7)
        os.kill(pid, signal.SIGCONT)

    def a_node_is_killed(self, node):
        node.kill()
        self.rest(0, 5)
        token = node.token
        node.start()
        node.token = token

    def the_database_crashes(self, _):
        self.postgres.crash()
        self.rest(0, 3)
        self.postgres.start()

    def the_network_to_the_database_is_slow(self, node):
        cable = f"da-{node.place.name}"
        slow = subprocess.run(["tc", "qdisc", "add", "dev", cable, "root", "netem", "delay", "150ms", "100ms"],
                              capture_output=True, text=True, check=False)
        if slow.returncode != 0:
            raise Skipped(f"this kernel cannot delay packets: {slow.stderr.strip()}")
        self.rest(2, 6)
        subprocess.run(["tc", "qdisc", "del", "dev", cable, "root"], check=True)

    def misfortunes(self):
        return [self.a_node_is_cut_from_the_database, self.a_node_is_cut_from_everybody_but_the_database,
                self.a_node_is_cut_from_everything, self.a_node_stands_still, self.a_node_is_killed,
                self.the_database_crashes, self.the_network_to_the_database_is_slow]

    def rest(self, least, most):
        time.sleep(least + self.chance.random() * (most - least))

    def sql(self, text):
        return self.postgres.sql_in("perdure", text).strip()

    def wait(self, true, what):
        end = time.monotonic() + HANG
        while not true():
            assert time.monotonic() < end, what
            time.sleep(0.1)

    def check(self, sessions):
        for node in self.nodes:
            assert node.alive(), f"{node.place.name} ended itself"
        self.wait(lambda: self.sql("SELECT count(*) FROM session WHERE open") == "0", "a session is still owed work")
        reader = Writer(0, self.nodes, threading.Event())
        for session, texts in sessions.items():
            status, view = reader.surely(
                lambda node, session=session: node.request("GET", f"/v1/agents/sessions/{session}"))
            assert (status, view["status"]) == (200, "idle"), (status, view)
            said, after = [], ""
            while True:
                status, page = reader.surely(lambda node, session=session, after=after: node.request(
                    "GET", f"/v1/agents/sessions/{session}/items?order=asc&limit=100{after}"))
                assert status == 200, (status, page)
                said += [part["text"] for item in page["data"] if item["type"] == "message"
                         and item["role"] == "user" for part in item["content"]]
                if not page["has_more"]:
                    break
                after = f"&after={page['last_id']}"
            assert said == texts, (session, said, texts)
        for what, question in (
                ("gaps", "SELECT count(*) FROM (SELECT max(seq) - count(*) AS missing FROM journal "
                         "GROUP BY project, session) g WHERE missing <> 0"),
                ("epochs that go back", "SELECT count(*) FROM (SELECT epoch < lag(epoch) OVER "
                                        "(PARTITION BY project, session ORDER BY seq) AS back FROM journal) e WHERE back"),
                ("open effects", "SELECT count(*) FROM effect"),
                ("reservations", "SELECT count(*) FROM reservation"),
                ("alarms", "SELECT count(*) FROM timer")):
            found = self.sql(question)
            assert found == "0", (what, found)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    options = parser.parse_args()
    if not leave_the_world():
        print("skipped: network namespaces are forbidden here")
        print("0 passed, 0 failed, 1 skipped")
        return 0
    print(f"seed {options.seed}", flush=True)
    passed = skipped = 0
    with contextlib.ExitStack() as stack:
        chaos = Chaos(os.path.abspath(options.binary), options.seed, stack)
        for _ in range(options.rounds):
            for misfortune in chaos.chance.sample(chaos.misfortunes(), len(chaos.misfortunes())):
                node = chaos.chance.choice(chaos.nodes)
                name = misfortune.__name__.replace("_", " ")
                stop = threading.Event()
                clients = [Writer(f"{passed}-{number}", chaos.nodes, stop, turns=5, pause=0.2, seed=chaos.chance.random())
                           for number in range(options.clients)]
                try:
                    for client in clients:
                        client.start()
                    chaos.rest(0.5, 1.5)
                    try:
                        misfortune(node)
                    except Skipped as reason:
                        skipped += 1
                        name += f", skipped ({reason})"
                    chaos.rest(0.5, 1.5)
                    stop.set()
                    for client in clients:
                        client.join(HANG)
                        assert not client.is_alive() and not client.error, client.error
                    sessions = {key: texts for client in clients for key, texts in client.sessions.items()}
                    chaos.check(sessions)
                except (AssertionError, ServerDied) as error:
                    stop.set()
                    print(f"FAIL   {name} ({node.place.name}), seed {options.seed}: {error}")
                    for each in chaos.nodes:
                        with open(os.path.join(each.directory, "server.log"), encoding="utf-8") as log:
                            print(f"{each.place.name}:\n{log.read()[-3000:]}")
                    print(f"{passed} passed, 1 failed, {skipped} skipped")
                    return 1
                passed += "skipped" not in name
                inputs = sum(len(texts) for texts in sessions.values())
                print(f"ok     {name}: {inputs} inputs in {len(sessions)} sessions, each there once", flush=True)
    print(f"{passed} passed, 0 failed, {skipped} skipped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
