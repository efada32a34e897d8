"""Clients that write sessions while something happens to the servers, and remember what was acknowledged."""

import random
import threading
import time

from perdure_test import HANG, ServerDied, message


class Writer(threading.Thread):
    """Writes one session after the other until told to stop: each request with an Idempotency-Key of its own, sent
    to any of the servers, again and again until it is taken."""

    def __init__(self, number, servers, stop, turns=3, pause=0.0, seed=0):
        super().__init__(daemon=True)
        self.number, self.servers, self.stop = number, servers, stop
        self.turns, self.pause = turns, pause
        self.chance = random.Random(seed)
        self.sessions = {}  # id: the texts acknowledged, in order
        self.error = None

    def surely(self, action):
        """(status, body) of `action(server)` from whichever server answers."""
        end = time.monotonic() + HANG
        while True:
            try:
                status, _, body = action(self.chance.choice(self.servers))
                if status not in (502, 503, 504):  # the answer says to come back
                    return status, body
            except ServerDied:
                pass
            assert time.monotonic() < end, "no server takes it"
            time.sleep(0.01)

    def run(self):
        try:
            work = 0
            while not self.stop.is_set():
                work += 1
                name = f"c{self.number}-s{work}"
                status, body = self.surely(lambda server, name=name: server.create(f"{name} m0", name))
                assert status == 201, (status, body)
                session = body["id"]
                self.sessions[session] = [f"{name} m0"]
                for turn in range(1, self.turns + 1):
                    text = f"{name} m{turn}"
                    status, body = self.surely(
                        lambda server, text=text, session=session: server.send(session, [message(text)], text))
                    assert status == 202, (status, body)
                    self.sessions[session].append(text)
                    time.sleep(self.chance.random() * self.pause)
        except Exception as error:  # noqa: BLE001 - reported by the main thread
            self.error = error
