#!/usr/bin/env python3
"""kill -9 at random moments under load, seen from outside.

Clients in threads create sessions and send messages, each request with its own Idempotency-Key,
repeated until it is acknowledged. Meanwhile the server is killed and started again. At the end every
acknowledged input must stand in its session exactly once, in order, and every turn must have ended.

    random_kills.py --binary perdure [--kills 20] [--clients 8] [--seed N] [--postgres]

With --postgres the store is a PostgreSQL of the test's own, and what is killed is in turns the
server, the whole database, and one process of the database.
"""

import argparse
import contextlib
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from perdure_test import Model, Scratch, Server  # noqa: E402
from postgres import Postgres  # noqa: E402
from writers import Writer  # noqa: E402


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--postgres", action="store_true")
    options = parser.parse_args()
    chance = random.Random(options.seed)

    with Scratch() as directory, contextlib.ExitStack() as stack:
        database = stack.enter_context(Postgres()) if options.postgres else None
        model = Model()
        variables = {"PERDURE_STORE": database.url} if database else {}
        server = Server(os.path.realpath(options.binary), directory, model.config(), variables).start()
        # The port stays the same, so that clients need not be told.
        server.arguments = ["--listen", f"127.0.0.1:{server.port}"]
        stop = threading.Event()
        clients = [Writer(number, [server], stop) for number in range(options.clients)]
        for client in clients:
            client.start()
        killed = 0
        while killed < options.kills and not any(client.error for client in clients):
            before = model.count()
            while model.count() < before + chance.randrange(1, 40):  # some work between two kills
                time.sleep(0.001)
                if any(client.error for client in clients):
                    break
            if database and killed % 3 == 1:
                database.crash()
                database.start()
            elif database and killed % 3 == 2:
                database.kill_a_client_process(chance)
                database.wait_until_ready()
            else:
                server.kill()
                server.start()
            killed += 1
        stop.set()
        for client in clients:
            client.join()
        failures = [f"client {client.number}: {client.error!r}" for client in clients if client.error]
        inputs = 0
        for client in clients:
            for session, texts in client.sessions.items():
                server.wait_for(session, "idle", "failed")
                items = server.items(session)
                said = [part["text"] for item in items if item.get("role") == "user"
                        for part in item["content"]]
                inputs += len(texts)
                if said != texts:
                    failures.append(f"{session}: acknowledged {texts}, stored {said}")
                turns = server.request("GET", f"/v1/agents/sessions/{session}/turns?limit=100")[2]["data"]
                if any(turn["status"] != "completed" for turn in turns):
                    failures.append(f"{session}: turns {[turn['error'] or turn['status'] for turn in turns]}")
        server.stop()
        server.close()
        model.close()
    for failure in failures[:10]:
        print("FAILED", failure)
    sessions = sum(len(client.sessions) for client in clients)
    print(f"{killed} kills (seed {options.seed}); {inputs} acknowledged inputs in {sessions} sessions; "
          f"{len(failures)} lost, doubled or stuck")
    print(f"{1 if not failures else 0} passed, {1 if failures else 0} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
