#!/usr/bin/env python3
"""kill -9 with many sessions in the middle of a model call, and a provider that bears only a few.

The model answers 429 to what comes while more than so many requests run; the server is configured
for exactly that many. Every session must go on after the restart and end its turn, and the model
must never have had to refuse.

    recovery_storm.py --binary perdure [--sessions 1000] [--at-most 20]
"""

import argparse
import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from perdure_test import HANG, Model, Scratch, Server  # noqa: E402


def create_all(server, count):
    """Creates sessions from a few threads; their ids."""
    sessions, errors, numbers, lock = [], [], iter(range(count)), threading.Lock()

    def work():
        while not errors:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            try:
                status, _, body = server.create(f"s{number}")
                assert status == 201, (status, body)
                with lock:
                    sessions.append(body["id"])
            except Exception as error:  # noqa: BLE001 - reported below
                errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return sessions


def wait_until(condition, what):
    end = time.monotonic() + HANG
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"never: {what}")
        time.sleep(0.005)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--at-most", type=int, default=20)
    options = parser.parse_args()
    failures = []
    with Scratch() as directory:
        model = Model(at_most=options.at_most)
        server = Server(os.path.realpath(options.binary), directory,
                        model.config(f"max_in_flight = {options.at_most}\n")).start()
        model.gate.clear()
        sessions = create_all(server, options.sessions)
        wait_until(lambda: model.running == options.at_most, "the model has all it bears")
        server.kill()
        model.gate.set()
        wait_until(lambda: model.running == 0, "the requests of the dead process end")
        before = model.count()
        server.start()
        for session in sessions:
            view = server.wait_for(session, "idle", "failed")
            turns = server.request("GET", f"/v1/agents/sessions/{session}/turns")[2]["data"]
            if view["status"] != "idle" or [turn["status"] for turn in turns] != ["completed"]:
                failures.append(f"{session}: {[turn['error'] or turn['status'] for turn in turns]}")
        if model.most_running > options.at_most or model.refused:
            failures.append(f"{model.most_running} requests ran at once, {model.refused} were refused")
        asked = model.count() - before
        if asked != len(sessions):
            failures.append(f"{asked} requests for {len(sessions)} sessions")
        most, refused = model.most_running, model.refused
        server.stop()
        server.close()
        model.close()
    for failure in failures[:10]:
        print("FAILED", failure)
    print(f"{len(sessions)} sessions came back, at most {most} requests at once, {refused} refused")
    print(f"{0 if failures else 1} passed, {1 if failures else 0} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
