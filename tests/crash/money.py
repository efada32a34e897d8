#!/usr/bin/env python3
"""kill -9 at random moments while money is spent: usage and budgets stay exact, seen from outside.

Clients drive sessions with and without limits, in workstreams with and without budgets, over two
models with prices that answer, break off, refuse, and cost more than was expected. A banker lets
budgets run out and raises them; a watcher looks that nothing it has seen is ever taken back. At each
kill the store is audited against the journals, call by call (tests/lib/books.py), and at the end, when
all is idle, so is what the server says. Then turns are cancelled while their calls are being sent:
what the model saw must be counted. Then the last money of a project, an agent and a workstream
is spent, to the nano-dollar, with a kill while the call runs that spends it. At last rows are damaged
in copies of the store, and the audit must see each damage.

    money.py --binary perdure [--kills 10] [--clients 8] [--seed N]
             [--plant DAMAGE]     damages the store itself before a restart: the test must fail
"""

import argparse
import os
import random
import shutil
import sqlite3
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from books import (API_COUNTS, COUNTS, DIMENSIONS, World, amounts, audit, compare_with_answers,  # noqa: E402
                   copy_store, total, usage_by)
from paid_model import MOST, PaidModel  # noqa: E402
from perdure_test import HANG, Scratch, Server, ServerDied, message  # noqa: E402

CENT = 10**7  # nano-dollars
PRICES = {  # pico-dollars a token, which is millionths of dollars a million tokens
    "small": {"input": 2_500_000, "cached_input": 250_000, "cache_write": 3_000_000, "output": 20_000_000},
    "big": {"input": 3_333_333, "cached_input": 333_333, "cache_write": 4_166_667, "output": 30_000_001},
}
# Anything that a store could have wrong. Each must be seen by the audit.
DAMAGES = {
    "a row of usage is lost": "delete from usage where {one}",
    "a call is counted twice": "update usage set calls = calls + 1 where {one}",
    "a call costs too much": "update usage set cost = cost + 1 where {one}",
    "tokens are lost": "update usage set output = output - 1 where {one}",
    "usage is another's": "update usage set workstream = workstream || 'x' where {one}",
    "usage is another day's": "update usage set day = '2001-01-01' where {one}",
    "a reservation is lost": "delete from reservation",
    "a reservation is too small": "update reservation set amount = amount - 1",
    "a reservation is left": "insert into reservation select project, session, call + 1000, amount, workstream, "
                             "agent, model, provider from reservation",
    "a budget forgets": "update budget set spent = spent - 1 where scope = 'project'",
    "a budget holds back": "update budget set reserved = reserved + 1 where scope = 'workstream'",
    "a limit is forgotten": "update budget set money = 1 where scope = 'project'",
    "a budget is lost": "delete from budget where scope = 'workstream'",
    "an end is lost": "delete from journal where {end}",
    "a bill is too small": "update journal set body = cast(json_set(cast(body as text), '$.bill.cost', "
                           "json_extract(cast(body as text), '$.bill.cost') - 1) as blob) where {end}",
    "a session is lost": "delete from journal where session = (select session from journal where kind = 21 limit 1)",
}
WHERE = {
    "{one}": "(session, model, day) = (select session, model, day from usage where cost > 0 and output > 0 limit 1)",
    "{end}": "(session, seq) = (select session, seq from journal where kind = 21 limit 1)",
}


class Fault(Exception):
    """The server did something that it must not."""


def demand(condition, *what):
    if not condition:
        raise Fault(" ".join(map(str, what)))


def wait_until(condition, what):
    end = time.monotonic() + HANG
    while not condition():
        demand(time.monotonic() < end, "never:", what)
        time.sleep(0.002)


def surely(action):
    """The answer of a server that may die and come back meanwhile."""
    while True:
        try:
            answer = action()
        except ServerDied:
            time.sleep(0.01)
            continue
        if isinstance(answer, tuple) and answer[0] == 503:  # draining or recovering: to be asked again
            time.sleep(0.01)
            continue
        return answer


class Thread(threading.Thread):
    """Does its work until told to stop; keeps what it failed with for the main thread."""

    def __init__(self, house, name):
        super().__init__(daemon=True)
        self.house = house
        self.chance = random.Random(f"{house.seed} {name}")
        self.name = name
        self.error = None

    def run(self):
        try:
            while not self.house.over.is_set():
                self.work()
        except Exception as error:  # noqa: BLE001 - reported by the main thread
            self.error = error


class Client(Thread):
    """One session after the other; waits for most of its turns, cancels some, deletes some sessions."""

    made = 0

    def work(self):
        house, chance = self.house, self.chance
        self.made += 1
        brief = chance.random() < 0.3
        name = f"{'brief ' if brief else ''}{self.name}-{self.made}"
        session = house.create(f"{name} m0", chance.choice((None, None, None, 1, 2)),
                               chance.choice((None, "tight", "wide")), chance.choice(("small", "big")),
                               house.agent if chance.random() < 0.2 else None)
        for turn in range(1, chance.randrange(2, 6)):
            manner = chance.random()
            if manner < 0.15:
                house.send(session, {"type": "agent.session.input.cancel"}, f"{name} cancel {turn}")
            elif manner < 0.85:
                house.wait(session)
            house.send(session, message(f"{name} m{turn}"), f"{name} m{turn}")
        house.wait(session)
        if brief and chance.random() < 0.3:
            house.delete(session)


class Banker(Thread):
    """Lets budgets run out, and after a while gives more."""

    patience = 0

    def work(self):
        house = self.house
        status, _, page = surely(lambda: house.server.request("GET", "/api/budgets"))
        demand(status == 200, "GET /api/budgets:", status, page)
        empty = [row for row in page["data"] if row["left_nano"] < CENT]
        self.patience -= 1
        if empty and self.patience < 0:
            row = self.chance.choice(empty)
            house.put_budget(row["scope"], row["id"], row["limit_nano"] + self.chance.randrange(2 * CENT, 25 * CENT),
                             row["window"])
            self.patience = self.chance.randrange(8)
        time.sleep(0.02)


class Watcher(Thread):
    """What was spent and has been seen is never taken back, whatever dies."""

    usage = (0,) * len(COUNTS)
    spent = {}

    def work(self):
        server = self.house.server
        usage = surely(lambda: usage_by(server)).get((), self.usage)
        demand(all(new >= old for new, old in zip(usage, self.usage)), "usage went from", self.usage, "to", usage)
        self.usage = usage
        _, _, page = surely(lambda: server.request("GET", "/api/budgets"))
        spent = {(row["scope"], row["id"]): row["spent_nano"] for row in page["data"] if row["window"] == "total"}
        demand(all(spent.get(key, -1) >= old for key, old in self.spent.items()), "spent went from", self.spent,
               "to", spent)
        self.spent = spent
        time.sleep(0.02)


class House:
    """The server, its model, what is known of both, and what clients do."""

    def __init__(self, binary, directory, seed):
        self.seed = seed
        self.directory = directory
        self.over = threading.Event()
        self.model = PaidModel(seed)
        self.world = World(self.model, PRICES, MOST)
        self.audits = 0
        self.caught = 0  # calls that ran when the server was killed
        url = f"http://127.0.0.1:{self.model.server.server_address[1]}/v1"
        config = "".join(f'[[provider]]\nname = "{name}"\nkind = "openai-chat"\nbase_url = "{url}"\n'
                         "attempts = 3\nretry_percent = 100\nretry_floor = 100000\n" for name in ("one", "two"))
        for (name, price), provider in zip(PRICES.items(), ("one", "two")):
            told = ", ".join(f"{kind} = {pico / 10**6:.6f}" for kind, pico in price.items())
            config += (f'[[model]]\nname = "{name}"\nprovider = "{provider}"\nmax_output_tokens = {MOST}\n'
                       f"price = {{{told}}}\n")
        self.server = Server(binary, directory, config).start()
        # The port stays the same, so that clients need not be told.
        self.server.arguments = ["--listen", f"127.0.0.1:{self.server.port}"]
        self.agent = self.save_agent()
        for scope, name, limit, window in (("project", "default", 60, "total"), ("workstream", "tight", 12, "total"),
                                           ("workstream", "wide", 40, "month"), ("agent", self.agent, 20, "day")):
            self.put_budget(scope, name, limit * CENT, window)

    def close(self):
        self.over.set()
        self.server.close()
        self.model.close()

    # What clients do; each until it is acknowledged.

    def change(self, method, path, body, key, statuses, **headers):
        if key:
            headers["Idempotency-Key"] = key
        status, _, answer = surely(lambda: self.server.request(method, path, body, headers))
        demand(status in statuses, method, path, body, "was answered", status, answer)
        return answer

    def save_agent(self):
        return self.change("POST", "/v1/agents", {"model": "small"}, None, (201,))["id"]

    def create(self, text, cents, workstream, model, agent=None):
        body = {"environment": {"type": "none"}, "input": text}
        body |= {"agent_id": agent} if agent else {"agent": {"model": model}}
        if cents:
            body["spend_control"] = {"limit": cents}
        headers = {"X-Perdure-Workstream": workstream} if workstream else {}
        session = self.change("POST", "/v1/agents/sessions", body, text, (201,), **headers)["id"]
        self.world.names[text] = session
        self.world.sessions[session] = (workstream, cents and cents * CENT, "small" if agent else model)
        return session

    def send(self, session, event, key):
        self.change("POST", f"/v1/agents/sessions/{session}/events", {"events": [event]}, key, (202,))

    def say(self, session, text):
        """Sends a message and waits for the end of its turn; the turn."""
        self.send(session, message(text), text)
        self.wait(session)
        return self.last_turn(session)

    def last_turn(self, session):
        status, _, page = self.server.request("GET", f"/v1/agents/sessions/{session}/turns?order=desc&limit=1")
        demand(status == 200, "turns:", status, page)
        return page["data"][0]

    def wait(self, session):
        view = surely(lambda: self.server.wait_for(session, "idle", "failed"))
        demand(view["status"] == "idle", session, "is", view["status"], view["error"])

    def delete(self, session):
        """An idle session. What it used is kept, to be found in the sums afterwards."""
        rows = surely(lambda: usage_by(self.server, *DIMENSIONS))
        rows = {key: counts for key, counts in rows.items() if key[DIMENSIONS.index("session")] == session}
        _, _, page = surely(lambda: self.server.request("GET", f"/api/sessions/{session}/usage?limit=1000"))
        turns = [tuple(turn[name] for name in API_COUNTS) for turn in page["data"]]
        demand(total(rows.values()) == total(turns), session, "used", rows, "by its sums and", turns, "by its log")
        self.world.farewell[session] = rows
        self.change("DELETE", f"/v1/agents/sessions/{session}", None, None, (200,))
        self.world.deleted.add(session)

    def put_budget(self, scope, name, limit, window="total"):
        asked = self.world.limits[scope, name]
        asked.append((int(time.time() * 1000), limit))
        self.change("PUT", f"/api/budgets/{scope}/{name}", {"limit_nano": limit, "window": window}, None, (200,))
        self.world.acknowledged[scope, name] = len(asked)

    def budget(self, scope, name):
        _, _, page = self.server.request("GET", "/api/budgets")
        return next(row for row in page["data"] if (row["scope"], row["id"]) == (scope, name))

    # What the test does.

    def audit(self, idle=False, path=None):
        """Of the store of a server that does not run, unless a copy is given."""
        self.world.look()
        books = audit(path or copy_store(self.server.data, self.copy()), self.world, idle)
        self.audits += 1
        demand(not books.faults, f"audit {self.audits}:", "\n  ".join(["", *books.faults[:20]]))
        return books

    def copy(self):
        return os.path.join(self.directory, "copy")

    def kill(self, idle=False):
        self.server.kill()
        books = self.audit(idle)
        self.caught += len(books.reservations)
        return books

    def audit_running(self, each_session=True):
        """Of an idle server: its store, and everything it says."""
        path = os.path.join(self.directory, "vacuumed.db")
        if os.path.exists(path):
            os.unlink(path)
        database = sqlite3.connect(f"file:{self.server.data}/perdure.db?mode=ro", uri=True)
        database.execute("vacuum into ?", (path,))
        database.close()
        books = self.audit(idle=True, path=path)
        faults = compare_with_answers(books, self.world, self.server, each_session)
        demand(not faults, "answers:", "\n  ".join(["", *faults[:20]]))
        return books


def damage(path, name):
    statement = DAMAGES[name]
    for word, condition in WHERE.items():
        statement = statement.replace(word, condition)
    database = sqlite3.connect(path)
    changed = database.execute(statement).rowcount
    database.commit()
    database.close()
    return changed


def load(house, options):
    """Kills under load, until all have been made; then all becomes idle."""
    chance = random.Random(f"{options.seed} kills")
    threads = [Client(house, f"c{number}") for number in range(options.clients)]
    threads += [Banker(house, "banker"), Watcher(house, "watcher")]
    for thread in threads:
        thread.start()

    def failed():
        return [f"{thread.name}: {thread.error!r}" for thread in threads if thread.error]

    for number in range(options.kills):
        # Some work between two kills; none is waited for while there is no money.
        goal, latest = house.model.count() + chance.randrange(1, 40), time.monotonic() + 1.5
        wait_until(lambda goal=goal, latest=latest: house.model.count() >= goal or failed()
                   or time.monotonic() > latest, "the clients go on")
        demand(not failed(), *failed())
        house.kill()
        if options.plant and number == options.kills // 2:
            print(f"planted: {options.plant} ({damage(f'{house.server.data}/perdure.db', options.plant)} rows)")
        if chance.random() < 0.3:  # and again before, while or after it takes up what it left
            house.server.start(wait=False)
            time.sleep(chance.random() * 0.5)
            house.kill()
        house.server.start()
    house.over.set()
    house.model.well = True
    for thread in threads:
        thread.join()
    demand(not failed(), *failed())
    for session in house.world.sessions.keys() - house.world.deleted:
        house.wait(session)
    demand(house.caught or not options.kills, "no kill came while a call ran, so this showed nothing")


def last_money(house, scope, name, workstream=None, agent=None, code="usage_limit_exceeded", while_held=None):
    """Spends a budget to its last nano-dollar, with a kill while the call runs that does it."""
    def refused(turn):
        demand(turn["status"] == "failed" and turn["error"]["code"] == code, "not", code, turn)
        return amounts(turn["error"]["message"])

    one, other = (house.create(f"exact {scope} {which} m0", None, workstream, "small", agent)
                  for which in ("one", "two"))
    house.wait(one)
    house.wait(other)
    house.put_budget(scope, name, 0)
    spent = house.budget(scope, name)["spent_nano"]
    house.put_budget(scope, name, spent)
    wanted = [refused(house.say(one, f"exact {scope} one m{turn}"))[3] for turn in (1, 2)]
    step = wanted[1] - wanted[0]  # what one more message of that length may cost
    wanted = wanted[1] + step
    house.put_budget(scope, name, spent + wanted - 1)
    said = refused(house.say(one, f"exact {scope} one m3"))
    demand(said == [spent + wanted - 1, spent, 0, wanted], "one nano-dollar is missing, and not", said)
    wanted += step
    house.put_budget(scope, name, spent + wanted)
    house.kill(idle=True)
    house.server.start()
    house.model.gate.clear()
    text = f"hold! {scope} one m4"
    house.send(one, message(text), text)
    wait_until(lambda: house.model.seen()[-1]["text"] == text, "the last money is spent")
    row = house.budget(scope, name)
    demand((row["spent_nano"], row["reserved_nano"], row["left_nano"]) == (spent, wanted, 0), row)
    said = refused(house.say(other, f"exact {scope} two m1"))
    demand(said[:3] == [spent + wanted, spent, wanted], "all is reserved, and not", said)
    house.kill()
    if while_held:
        while_held()
    house.model.gate.set()
    house.server.start()
    house.wait(one)
    said = refused(house.last_turn(one))
    demand(said[:3] == [spent + wanted, spent + wanted, 0], "all is spent, and not", said)
    house.put_budget(scope, name, spent + wanted + 100 * CENT)
    turn = house.say(one, f"exact {scope} one m5")
    demand(turn["status"] == "completed", "there is money again", turn)
    house.audit_running(each_session=False)


def cancelled_at_once(house, again):
    """Turns that are cancelled while their sessions' logs are read, and so before or while their calls are sent."""
    sessions = [house.create(f"exact cancel {again} {number} m0", None, None, "small") for number in range(30)]
    for session in sessions:
        house.wait(session)
    house.kill(idle=True)
    house.server.start()
    errors = []

    def work(number, session):
        try:
            text = f"exact cancel {again} {number} m1"
            house.send(session, message(text), text)
            house.send(session, {"type": "agent.session.input.cancel"}, f"{text} cancel")
            house.wait(session)
        except Exception as error:  # noqa: BLE001 - reported below
            errors.append(error)

    workers = [threading.Thread(target=work, args=pair) for pair in enumerate(sessions)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    demand(not errors, *errors)
    house.audit_running(each_session=False)


def last_cent(house):
    """A session with a limit works until it is used up, and not again after a restart."""
    session = house.create("exact session m0", 1, None, "small")
    house.wait(session)
    for number in range(1, 30):
        turn = house.say(session, f"exact session m{number}")
        if turn["status"] != "completed":
            break
    for again in ("before", "after"):
        demand(turn["status"] == "failed" and turn["error"]["code"] == "session_budget_exceeded", turn)
        if again == "before":
            house.kill(idle=True)
            house.server.start()
            turn = house.say(session, "exact session again")
    house.kill(idle=True)
    house.server.start()


def unseen_damages(house):
    """The names of the damages that the audit does not see in the copy that was audited last."""
    sound = os.path.join(house.copy(), "perdure.db")
    path = os.path.join(house.directory, "damaged.db")
    unseen = []
    for name in DAMAGES:
        shutil.copy(sound, path)
        if damage(path, name) < 1 or not audit(path, house.world, idle=False).faults:
            unseen.append(name)
    return unseen


def money_failures(books):
    """How many turns failed with each of the codes that say that there is no money."""
    codes = {}
    for journal in books.journals.values():
        for entry in journal:
            code = (entry.body.get("error") or {}).get("code", "") if entry.kind == 102 else ""
            if "limit_exceeded" in code or "budget" in code:
                codes[code] = codes.get(code, 0) + 1
    return codes


def run(house, options):
    load(house, options)
    house.audit_running()
    house.kill(idle=True)
    house.server.start()
    house.audit_running()
    under_load = dict(house.world.limits)
    for (scope, name) in under_load:  # no other limit is in the way from now on
        house.put_budget(scope, name, 10**6 * CENT)
    for again in range(2):
        cancelled_at_once(house, again)
    last_cent(house)
    unseen = []
    agent = house.save_agent()
    house.put_budget("agent", agent, CENT)
    last_money(house, "agent", agent, agent=agent)
    house.put_budget("workstream", "last", CENT)
    last_money(house, "workstream", "last", workstream="last")
    last_money(house, "project", "default", code="project_spend_limit_exceeded",
               while_held=lambda: unseen.extend(unseen_damages(house)))
    house.server.stop()
    return house.audit(idle=True), unseen


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--plant", choices=DAMAGES)
    options = parser.parse_args()
    failures, passed = [], 0
    with Scratch() as directory:
        house = House(os.path.realpath(options.binary), directory, options.seed)
        try:
            books, unseen = run(house, options)
            failures += [f"the audit does not see that {name}" for name in unseen]
            passed = 1 + len(DAMAGES) - len(unseen)
            ended = [call.counts for call in books.calls if call.end is not None]
            print(f"{options.kills} kills under load (seed {options.seed}) with {house.caught} calls running, "
                  f"{house.audits} audits: {len(ended)} calls in {len(books.journals)} sessions, "
                  f"{sum(counts[1] for counts in ended)} of them abandoned and "
                  f"{sum(counts[2] for counts in ended)} estimated, ${sum(counts[9] for counts in ended) / 10**9:.2f}; "
                  f"turns without money: {money_failures(books)}")
        except (Fault, AssertionError, ServerDied) as fault:
            failures.append(f"(seed {options.seed}) {fault}")
        finally:
            house.close()
    for failure in failures:
        print("FAILED", failure)
    print(f"{passed} passed, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
