#!/usr/bin/env python3
"""Memory in the real server: what is erased leaves no byte, and what was acknowledged is found after a kill.

    run.py --binary perdure [--appends N]

Sessions: what a model was told to remember in one session is found in the next. Erasure: records with canaries of all sizes, searched and then erased; no file below the data directory
may hold one, while the server runs and after it has ended. Crash: records are written by several
clients while the server is killed again and again; after each start every acknowledged one is found by
its own word, and nothing stands there twice.
"""

import argparse
import json
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from perdure_test import Scratch, Server  # noqa: E402

STORES = "/api/memory/stores"
CLIENTS = 4
DEMO = '[[provider]]\nname = "demo"\nkind = "scripted"\n'


def files_with(directory, canary):
    found = []
    for folder, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(folder, name)
            try:
                with open(path, "rb") as file:
                    if canary in file.read():
                        found.append(os.path.relpath(path, directory))
            except OSError:
                pass  # gone, or a socket
    return found


class Test:
    def __init__(self, server):
        self.server = server
        self.passed = self.failed = 0

    def check(self, name, good, detail=""):
        if good:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED {name} {detail}")

    def call(self, method, path, body=None):
        return self.server.request(method, STORES + path, body)[::2]

    def erasure(self):
        self.call("POST", "", {"name": "erase"})
        status, _ = self.call("POST", "/erase/records", {"text": "what stays: cormorant", "actor": "bob"})
        self.check("a record that stays", status == 201, status)
        for size in (10, 500, 5_000, 60_000):
            records = [{"text": f"canaryheron{size}x{at} " + "filler " * (size // 7), "actor": "ann"} for at in range(20)]
            status, answer = self.call("POST", "/erase/records", {"records": records})
            self.check(f"records of {size} bytes", status == 201, answer)
        self.check("the canaries are on disk", files_with(self.server.data, b"canaryheron"))
        status, answer = self.call("POST", "/erase/search", {"query": "canaryheron500x3"})
        self.check("a canary is found", len(answer["data"]) == 1, answer)
        status, receipt = self.call("POST", "/erase/erasures", {"subject": "ann"})
        self.check("the receipt", status == 200 and receipt["erased"] == 80 and receipt["genuine"], receipt)
        left = files_with(self.server.data, b"canaryheron")
        self.check("no byte while the server runs", not left, left)
        status, answer = self.call("POST", "/erase/search", {"query": "canaryheron500x3"})
        self.check("nothing is found", answer["data"] == [], answer)
        self.server.kill()
        left = files_with(self.server.data, b"canaryheron")
        self.check("no byte after the server was killed", not left, left)
        self.server.start()
        status, answer = self.call("POST", "/erase/search", {"query": "cormorant"})
        self.check("what stays is there", len(answer["data"]) == 1, answer)

    def sessions(self):
        """Told in one session, known in another, forgotten after an erasure; another actor sees nothing."""
        def ask(text, actor):
            status, _, made = self.server.request(
                "POST", "/v1/agents/sessions",
                {"agent": {"model": "demo"}, "environment": {"type": "none"}, "input": text,
                 "metadata": {"actor": actor}}, {"X-Perdure-Tools": "memory"})
            self.check("a session", status == 201, made)
            session = self.server.wait_for(made["id"], "idle")
            self.check("it ended well", session["status"] == "idle", session)
            return json.dumps(self.server.items(made["id"]))

        ask('call memory {"action":"write","text":"The gate code is pelican"}', "ann")
        search = 'call memory {"action":"search","query":"gate code"}'
        self.check("known in another session", "pelican" in ask(search, "ann"))
        self.check("not to another actor", "pelican" not in ask(search, "bob"))
        status, answer = self.call("GET", "/default/records")
        record = answer["data"][0]
        self.check("its origin", status == 200 and record["trust"] == "agent" and record["evidence"], record)
        status, receipt = self.call("POST", "/default/erasures", {"session": record["evidence"][0]["session"]})
        self.check("erased by its session", receipt.get("erased") == 1, receipt)
        self.check("forgotten", "pelican" not in ask(search, "ann"))

    def crash(self, appends):
        self.call("POST", "", {"name": "crash"})
        acknowledged, lock, ended = [], threading.Lock(), threading.Event()

        def write(client):
            number = 0
            while not ended.is_set():
                number += 1
                word = f"word{client}q{number}"
                try:
                    status, _ = self.call("POST", "/crash/records", {"text": f"the code is {word}"})
                except Exception:  # the server was killed: not acknowledged
                    time.sleep(0.01)
                    continue
                with lock:
                    if status == 201:
                        acknowledged.append(word)
                    if len(acknowledged) >= appends:
                        ended.set()

        clients = [threading.Thread(target=write, args=(client,)) for client in range(CLIENTS)]
        for client in clients:
            client.start()
        chance, kills = random.Random(5), 0
        while not ended.is_set():
            ended.wait(0.05 + 0.4 * chance.random())
            self.server.kill()
            kills += 1
            with lock:
                known = list(acknowledged)
            self.server.start()
            # The newest are those that a kill endangers; all of them are asked for in the end.
            lost = [word for word in known[-20:] if self.found(word) != 1]
            self.check(f"after kill {kills}", not lost, f"lost or twice: {lost[:5]} of {len(known)}")
        for client in clients:
            client.join()
        lost = [word for word in acknowledged if self.found(word) != 1]
        self.check("in the end", not lost, f"lost or twice: {lost[:5]} of {len(acknowledged)}")
        print(f"{len(acknowledged)} records acknowledged, {kills} kills")

    def found(self, word):
        return len(self.call("POST", "/crash/search", {"query": word})[1]["data"])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--appends", type=int, default=2000)
    options = parser.parse_args()
    with Scratch() as directory:
        server = Server(os.path.abspath(options.binary), directory, DEMO)
        try:
            server.start()
            test = Test(server)
            test.erasure()
            test.sessions()
            test.crash(options.appends)
        finally:
            server.close()
    print(f"{test.passed} passed, {test.failed} failed")
    sys.exit(1 if test.failed else 0)


if __name__ == "__main__":
    main()
