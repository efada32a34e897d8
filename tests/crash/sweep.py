#!/usr/bin/env python3
"""Kills the server, and cuts its power, at every write and sync of a scenario.

The unmodified binary runs under the power-loss shim (tests/power_loss) and dies at a chosen point.
A client outside — which, like any good client, repeats a request that got no answer with the same
Idempotency-Key — starts it again and goes on. At the end the transcript must be what it is without a
crash, everything that was acknowledged must still be there, and nothing twice.

    sweep.py --binary perdure --shim power_loss_shim.so [--seconds 60] [--modes kill,power]
             [--point N --mode M --seed S]      one run alone, as a failure prints it

The windows in which the server died are read from what it left on disk; a window that was never hit
fails the test, because then the sweep showed less than it says.
"""

import argparse
import collections
import concurrent.futures
import os
import random
import shutil
import sqlite3
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from perdure_test import LOOK, Model, Scratch, Server, ServerDied, message, tool_result  # noqa: E402

Run = collections.namedtuple("Run", "mode point seed")
WINDOWS = ("before intent", "between intent and result", "after result")


class Scenario:
    """One client's work: four requests that change something, repeated until each is acknowledged."""

    def __init__(self, server, on_death):
        self.server = server
        self.on_death = on_death
        self.acknowledged = {}  # key: (status, body)
        self.session = None

    def surely(self, action):
        for _ in range(20):
            try:
                return action()
            except ServerDied:
                self.on_death()
        raise AssertionError("the server dies again and again")

    def change(self, key, action):
        status, _, body = self.surely(lambda: action(key))
        assert status in (201, 202), (key, status, body)
        self.acknowledged[key] = (status, body)
        return body

    def wait(self, status):
        return self.surely(lambda: self.server.wait_for(self.session, status))

    def run(self):
        server = self.server
        self.session = self.change("create", lambda key: server.create("alpha", key, [LOOK]))["id"]
        self.wait("idle")
        self.change("tool", lambda key: server.send(self.session, [message("tool please")], key))
        action = self.wait("requires_action")["required_actions"][0]
        self.change("result", lambda key: server.send(self.session, [tool_result(action, "seen")], key))
        self.wait("idle")
        self.change("omega", lambda key: server.send(self.session, [message("omega")], key))
        self.wait("idle")
        return self

    def transcript(self):
        lines = []
        for item in self.surely(lambda: self.server.items(self.session)):
            content = item.get("content") or item.get("output") or item.get("name")
            text = "".join(part["text"] for part in content) if isinstance(content, list) else content
            lines.append(f"{item['type']} {item['status']}: {text}")
        return lines

    def check(self, expected, model):
        transcript = self.transcript()
        assert transcript == expected, "the transcript differs:\n  " + "\n  ".join(transcript)
        turns = self.server.request("GET", f"/v1/agents/sessions/{self.session}/turns")[2]["data"]
        assert [turn["status"] for turn in turns] == ["completed"] * 3, turns
        # What was acknowledged is acknowledged the same way again, and changes nothing.
        again = self.server.create("alpha", "create", [LOOK])
        assert again[0] == 201 and again[2] == self.acknowledged["create"][1], again
        assert self.server.send(self.session, [message("omega")], "omega")[0] == 202
        assert self.transcript() == expected, "a repeated request was carried out twice"
        # Every request the model saw had everything acknowledged before it in its context, once.
        with model.lock:
            requests = list(model.requests)
        for request in requests:
            said = [part["content"] for part in request["messages"] if part["role"] == "user"]
            flat = [text if isinstance(text, str) else text[0]["text"] for text in said]
            assert flat == ["alpha", "tool please", "omega"][: len(flat)], flat


def window_of(data):
    """Where in the life of an effect the server died, by what is on disk."""
    with tempfile.TemporaryDirectory(prefix="perdure-window-") as copy:
        for name in os.listdir(data):
            if name.startswith("perdure.db"):
                shutil.copy(os.path.join(data, name), copy)
        path = os.path.join(copy, "perdure.db")
        if not os.path.exists(path):
            return WINDOWS[0]
        try:
            database = sqlite3.connect(path)
            open_effects = database.execute("select count(*) from effect").fetchone()[0]
            entries = database.execute("select count(*) from journal").fetchone()[0]
            database.close()
        except sqlite3.DatabaseError:
            return WINDOWS[0]  # died while it made the file
    if open_effects:
        return WINDOWS[1]
    return WINDOWS[2] if entries else WINDOWS[0]


class Sweep:
    def __init__(self, binary, shim):
        self.binary = os.path.realpath(binary)
        self.shim = os.path.realpath(shim)
        self.expected = None

    def shim_environment(self, directory, run, report=None):
        variables = {
            "LD_PRELOAD": self.shim,
            "POWER_LOSS_UNDER": os.path.join(directory, "data"),
            "POWER_LOSS_MODE": run.mode,
            "POWER_LOSS_AT": str(run.point),
            "POWER_LOSS_SEED": str(run.seed),
        }
        if report:
            variables["POWER_LOSS_REPORT"] = report
        return variables

    def baseline(self):
        """The transcript without a crash, and how many points the scenario has."""
        with Scratch() as directory:
            model = Model()
            report = os.path.join(directory, "points")
            server = Server(self.binary, directory, model.config())
            try:
                server.start(self.shim_environment(directory, Run("kill", 0, 1), report))
                scenario = Scenario(server, lambda: (_ for _ in ()).throw(AssertionError("it died")))
                scenario.run()
                self.expected = scenario.transcript()
                scenario.check(self.expected, model)
                server.stop()
                with open(report, encoding="ascii") as file:
                    return int(file.read())
            finally:
                server.close()
                model.close()

    def one(self, run):
        """Runs it; returns the window it died in, or None if it never died. Raises on a fault."""
        with Scratch() as directory:
            model = Model()
            server = Server(self.binary, directory, model.config())
            died = []

            def restart():
                server.process.wait()
                if not died:
                    died.append(window_of(server.data) if os.path.isdir(server.data) else WINDOWS[0])
                server.start()

            try:
                try:
                    server.start(self.shim_environment(directory, run))
                except ServerDied:
                    restart()
                scenario = Scenario(server, restart)
                scenario.run().check(self.expected, model)
                return died[0] if died else None
            finally:
                server.close()
                model.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--shim", required=True)
    parser.add_argument("--modes", default="kill,power")
    parser.add_argument("--seconds", type=float, default=0, help="stop after; 0: every run")
    parser.add_argument("--seeds", type=int, default=1, help="for the modes that have chance in them")
    parser.add_argument("--point", type=int)
    parser.add_argument("--mode", default="kill")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--order", type=int, default=random.randrange(1 << 30))
    options = parser.parse_args()

    sweep = Sweep(options.binary, options.shim)
    points = sweep.baseline()
    if options.point:
        print("died", sweep.one(Run(options.mode, options.point, options.seed)))
        return 0
    runs = [Run(mode, point, seed)
            for mode in options.modes.split(",")
            for point in range(1, points + 1)
            for seed in range(1, (options.seeds if mode == "power" else 1) + 1)]
    random.Random(options.order).shuffle(runs)
    end = time.monotonic() + options.seconds if options.seconds else float("inf")
    windows = collections.Counter()
    made = failed = 0
    with concurrent.futures.ThreadPoolExecutor(max_workers=3) as pool:
        pending = {}
        iterator = iter(runs)
        while True:
            while len(pending) < 3 and time.monotonic() < end and (run := next(iterator, None)):
                pending[pool.submit(sweep.one, run)] = run
            if not pending:
                break
            done, _ = concurrent.futures.wait(pending, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in done:
                run = pending.pop(future)
                made += 1
                try:
                    windows[future.result() or "never"] += 1
                except Exception as error:  # noqa: BLE001 - every fault is one failed run
                    failed += 1
                    print(f"FAILED {run}: {error}\n  alone: {sys.argv[0]} --binary {options.binary} "
                          f"--shim {options.shim} --mode {run.mode} --point {run.point} --seed {run.seed}")
    print(f"{points} points; {made} of {len(runs)} runs (order {options.order}); died: "
          + ", ".join(f"{window} {windows[window]}" for window in (*WINDOWS, "never")))
    missed = [window for window in WINDOWS if not windows[window]]
    if missed:
        print(f"FAILED: no run died {' or '.join(missed)}")
        failed += 1
    print(f"{made - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
