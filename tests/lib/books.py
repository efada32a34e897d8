"""Audits the money in a store against its sessions' journals: what happened, call by call, decides.

Reads the SQLite file alone, as docs/formats/journal.md describes it, from a copy made while no server
runs, and computes anew from entries and prices what every row about money must say. `World` is what
the outside knows: the model's requests, the limits that were set, the sessions that were deleted.
"""

import bisect
import collections
import datetime
import decimal
import itertools
import json
import os
import re
import shutil
import sqlite3

COUNTS = ("calls", "abandoned", "estimated", "unpriced", "input", "cached", "cache_write", "output",
          "reasoning", "cost", "estimated_cost")
# The same in answers of the server's API.
API_COUNTS = ("model_calls", "abandoned_calls", "estimated_calls", "unpriced_calls", "input_tokens",
              "cached_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens", "cost_nano",
              "estimated_cost_nano")
DIMENSIONS = ("day", "workstream", "agent", "session", "model", "provider")
USAGE = ("input", "cached", "cache_write", "output", "reasoning")
NOTHING = dict.fromkeys(USAGE, 0)
CALL_STARTED, CALL_FINISHED, CALL_ABANDONED, SESSION_FAILED, TURN_ENDED = 20, 21, 22, 2, 102
CODES = {"session": "session_budget_exceeded", "project": "project_spend_limit_exceeded",
         "workstream": "usage_limit_exceeded", "agent": "usage_limit_exceeded"}

Entry = collections.namedtuple("Entry", "seq kind time body")
Budget = collections.namedtuple("Budget", "limit window began spent reserved")
Call = collections.namedtuple("Call", "session seq start turn payer reserved key asked end kind ended time counts")


def day_of(time):
    return datetime.datetime.fromtimestamp(time / 1000, datetime.timezone.utc).strftime("%Y-%m-%d")


def cost(price, usage):
    """Nano-dollars, rounded up, of tokens at pico-dollars each."""
    usage = {**NOTHING, **usage}
    plain = max(usage["input"] - usage["cached"] - usage["cache_write"], 0)
    pico = (plain * price["input"] + usage["cached"] * price["cached_input"]
            + usage["cache_write"] * price["cache_write"] + usage["output"] * price["output"])
    return -(-pico // 1000)


def plus(one, other):
    return tuple(a + b for a, b in zip(one, other))


def total(rows):
    return tuple(map(sum, zip(*rows))) or (0,) * len(COUNTS)


def covers(scope, name, payer):
    return scope == "project" or payer[DIMENSIONS[1:3].index(scope)] == name


class World:
    def __init__(self, model, prices, most):
        self.model = model
        self.prices = prices  # model: pico-dollars a token, by kind
        self.most = most  # output tokens expected at most
        self.limits = collections.defaultdict(list)  # (scope, id): (when it was asked for, limit) …
        self.acknowledged = {}  # (scope, id): how many of them were asked for when one was last acknowledged
        self.sessions = {}  # acknowledged creations: id: (workstream, limit, model)
        self.names = {}  # the first text of a session: its id
        self.farewell = {}  # sessions about to be deleted: id: their rows of usage
        self.deleted = set()  # acknowledged deletions
        self.requests = []

    def session_of(self, request):
        return self.names.get(request["first"])

    def look(self):
        """What the model has seen until now, of a server that does not run."""
        self.requests = self.model.seen()


def copy_store(data, directory):
    """A copy of the store of a server that does not run, its log taken in; the database's path."""
    shutil.rmtree(directory, ignore_errors=True)
    os.mkdir(directory)
    for name in ("perdure.db", "perdure.db-wal"):
        if os.path.exists(os.path.join(data, name)):
            shutil.copy(os.path.join(data, name), directory)
    path = os.path.join(directory, "perdure.db")
    database = sqlite3.connect(path)
    database.execute("pragma wal_checkpoint(truncate)")
    database.close()
    return path


class Books:
    """One state of the store: its rows about money, and the calls of the journals."""

    def __init__(self, path):
        database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        self.usage = {row[: len(DIMENSIONS)]: row[len(DIMENSIONS):] for row in database.execute(
            f"select {', '.join(DIMENSIONS + COUNTS)} from usage")}
        self.reservations = {(session, call): (amount, tuple(payer)) for session, call, amount, *payer in
                             database.execute("select session, call, amount, workstream, agent, model, provider "
                                              "from reservation")}
        self.budgets = {(scope, name): Budget(*rest) for scope, name, *rest in database.execute(
            "select scope, id, money, period, window_began, spent, reserved from budget")}
        self.deleted = {session for (session,) in database.execute("select id from session where deleted")}
        self.journals = collections.defaultdict(list)
        for session, seq, kind, time, body in database.execute(
                "select session, seq, kind, time, body from journal order by session, seq"):
            self.journals[session].append(Entry(seq, kind, time, json.loads(body)))
        database.close()
        self.faults = []
        self.calls_by_session = {session: self.calls_of(session) for session in self.journals}
        self.calls = list(itertools.chain.from_iterable(self.calls_by_session.values()))

    def fault(self, condition, text):
        """Writes a fault down unless the condition holds."""
        if not condition:
            self.faults.append(text)

    def calls_of(self, session):
        journal = self.journals[session]
        creation = journal[0].body
        calls, running = [], None
        for entry in journal:
            body = entry.body
            if entry.kind == CALL_STARTED:
                self.fault(running is None, f"{session}/{entry.seq}: a call started while another runs")
                payer = (creation.get("workstream", ""), creation["agent"]["id"], creation["agent"]["model"],
                         body["provider"])
                running = Call(session, entry.seq, body, body["turn"], payer, body.get("reserved", 0), body.get("key"),
                               "pool" in body, None, None, None, entry.time, None)
            elif entry.kind in (CALL_FINISHED, CALL_ABANDONED):
                matches = running is not None and running.seq == body["call"]
                self.fault(matches, f"{session}/{entry.seq}: the end of a call that does not run")
                if matches:
                    calls.append(running._replace(end=entry.time, kind=entry.kind, ended=body,
                                                  counts=self.counts_of(entry)))
                running = None
            elif entry.kind == SESSION_FAILED and running:
                # Set aside: nobody knows what its call did, so it cost all that was put aside.
                counts = (1, 1, 1, *(0 for _ in range(6)), running.reserved, running.reserved)
                calls.append(running._replace(end=entry.time, kind=entry.kind, ended=body, counts=counts))
                running = None
        return calls + ([running] if running else [])

    @staticmethod
    def counts_of(entry):
        body = entry.body
        if body.get("unsent"):
            return (0,) * len(COUNTS)
        bill = body.get("bill", {"cost": 0, "priced": False})
        used = {**NOTHING, **(bill.get("estimate") or body.get("usage") or {})}
        estimated = "estimate" in bill
        return (1, int(entry.kind == CALL_ABANDONED), int(estimated), int(not bill.get("priced", True)),
                *(used[name] for name in USAGE), bill["cost"], bill["cost"] if estimated else 0)

    # What the journals say that the rows must be.

    def expected_usage(self, world):
        rows = collections.defaultdict(lambda: (0,) * len(COUNTS))
        for call in self.calls:
            if call.end is not None and any(call.counts):
                workstream, agent, *upstream = call.payer
                key = (day_of(call.end), workstream, agent, call.session, *upstream)
                rows[key] = plus(rows[key], call.counts)
        for session in self.deleted:
            for key, counts in world.farewell.get(session, {}).items():
                key = tuple("" if name == "session" else value for name, value in zip(DIMENSIONS, key))
                rows[key] = plus(rows[key], counts)
        return dict(rows)

    def expected_reservations(self):
        return {(call.session, call.seq): (call.reserved, call.payer)
                for call in self.calls if call.end is None and call.reserved}

    def covered(self, scope, name):
        return [call for call in self.calls if covers(scope, name, call.payer)]


def differences(what, found, expected):
    for key in sorted(set(found) | set(expected), key=str):
        if found.get(key) != expected.get(key):
            yield f"{what} {key}: is {found.get(key)}, should be {expected.get(key)}"


def audit(path, world, idle):
    """Every way in which the store at `path` is wrong, as sentences; none is what is hoped for."""
    books = Books(path)
    usage, reservations = books.expected_usage(world), books.expected_reservations()
    books.faults += differences("usage", books.usage, usage)
    books.faults += differences("reservation", books.reservations, reservations)
    if idle:
        books.fault(all(call.end is not None for call in books.calls), "a call runs although all is idle")
        books.fault(not books.reservations, "something is reserved although all is idle")
    check_calls(books, world)
    check_budgets(books, world, usage, reservations)
    check_admissions(books, world)
    check_failures(books, world)
    check_upstream(books, world)
    check_sessions(books, world)
    return books


def check_calls(books, world):
    """Prices, estimates, reservations and bills are what they must be by the published rules."""
    for call in books.calls:
        name, start = f"call {call.session}/{call.seq}", call.start
        if not call.asked:
            books.fault(call.end is not None and call.ended.get("unsent") and not call.reserved,
                        f"{name}: found no pool and was not closed at once, for nothing")
            continue
        price, estimate = start.get("price"), start.get("estimate")
        books.fault(price == world.prices[call.payer[2]], f"{name}: its price is {price}")
        if not price:
            continue
        dearest = {**price, "input": max(price["input"], price["cached_input"], price["cache_write"])}
        books.fault(call.reserved == cost(dearest, estimate) and estimate["output"] == world.most,
                    f"{name}: reserved {call.reserved} for {estimate}")
        if call.kind not in (CALL_FINISHED, CALL_ABANDONED) or call.ended.get("unsent"):
            continue
        body = call.ended
        bill = body.get("bill")
        if not bill:
            books.fault(False, f"{name}: ended without a bill")
            continue
        guess = bill.get("estimate")
        code = body["error"]["code"] if call.kind == CALL_ABANDONED else None
        broke_off = (any(body.get(word) for word in ("lost", "shown", "begun"))
                     or code in ("request_timeout", "cancelled"))
        if "usage" in body:
            right = guess is None and bill["cost"] == cost(price, body["usage"])
        elif body.get("died"):  # with the process: in full
            right = {**NOTHING, **(guess or {})} == {**NOTHING, **estimate} and bill["cost"] == call.reserved
        elif code and not broke_off:  # refused: nothing was made
            right = guess is None and bill["cost"] == 0
        else:
            right = (guess is not None and guess["input"] == estimate["input"]
                     and bill["cost"] == cost(price, guess))
        books.fault(right and bill.get("priced", True),
                    f"{name}: the bill is {bill}, for {start} that ended with {body}")


def check_budgets(books, world, usage, reservations):
    """Each budget is the sum of what it covers, its limit is one that was set, and is kept."""
    for lost in world.acknowledged.keys() - books.budgets.keys():
        books.faults.append(f"budget {lost}: was acknowledged and is not there")
    for (scope, name), budget in books.budgets.items():
        since = day_of(budget.began) if budget.window != "total" else ""
        spent = sum(counts[COUNTS.index("cost")] for key, counts in usage.items()
                    if key[0] >= since and covers(scope, name, key[1:3]))
        reserved = sum(amount for amount, payer in reservations.values() if covers(scope, name, payer))
        what = f"budget {scope} {name}"
        books.fault(budget.spent == spent, f"{what}: spent is {budget.spent}, should be {spent}")
        books.fault(budget.reserved == reserved, f"{what}: reserved is {budget.reserved}, should be {reserved}")
        asked = [limit for _, limit in world.limits[scope, name]]
        books.fault(budget.limit in asked[max(world.acknowledged.get((scope, name), 1) - 1, 0):],
                    f"{what}: its limit is {budget.limit} after {asked[-3:]} were set")
        over = budget.spent + budget.reserved - max(asked, default=0)
        allowed = worst_overrun(books.covered(scope, name))
        books.fault(over <= allowed, f"{what}: overrun by {over}; what ran at one moment explains {allowed}")


def worst_overrun(calls):
    """The most that calls which ran at one moment cost together beyond what was put aside for them."""
    steps = []
    for call in calls:
        excess = call.counts[COUNTS.index("cost")] - call.reserved if call.end is not None else 0
        if excess > 0:
            steps += [(call.time, 0, excess), (call.end, 1, -excess)]
    return max(itertools.accumulate(step[2] for step in sorted(steps)), default=0)


def check_admissions(books, world):
    """No call began that did not fit: neither into its session's limit nor into a budget."""
    position = COUNTS.index("cost")
    for session, journal in books.journals.items():
        limit, spent = journal[0].body.get("spend_limit"), 0
        for call in books.calls_by_session[session]:
            books.fault(limit is None or not call.asked or spent + call.reserved <= limit,
                        f"call {session}/{call.seq}: began with {spent} of {limit} spent, for {call.reserved}")
            spent += call.counts[position] if call.end is not None else 0
    for (scope, name), history in list(world.limits.items()):
        # Of windows that end only the store's own sum is checked.
        if (scope, name) not in books.budgets or books.budgets[scope, name].window != "total":
            continue
        calls = [call for call in books.covered(scope, name) if call.asked]
        begun = Sums((call.time, call.reserved) for call in calls)
        over = Sums((call.end, call.reserved) for call in calls if call.end is not None)
        # What ended a moment before may not have been on disk yet: it counts for the lesser number.
        paid = Sums((call.end, min(call.reserved, call.counts[position])) for call in calls if call.end is not None)
        for call in calls:
            limit = max((limit for asked, limit in history if asked <= call.time), default=None)
            taken = begun.before(call.time) - over.before(call.time + 1) + paid.before(call.time)
            books.fault(limit is None or taken + call.reserved <= limit,
                        f"call {call.session}/{call.seq}: began for {call.reserved} with {taken} of the {limit} "
                        f"of {scope} {name} taken")


class Sums:
    """Sums of amounts by time."""

    def __init__(self, pairs):
        pairs = sorted(pairs)
        self.times = [time for time, _ in pairs]
        self.sums = [0, *itertools.accumulate(amount for _, amount in pairs)]

    def before(self, time):
        return self.sums[bisect.bisect_left(self.times, time)]


def amounts(sentence):
    """What it says in dollars, as nano-dollars."""
    return [int(decimal.Decimal(text) * 10**9) for text in re.findall(r"\$(-?\d+\.\d+)", sentence)]


def check_failures(books, world):
    """A turn failed for money only where there was none, and otherwise only for a failed call of its own."""
    position = COUNTS.index("cost")
    gone = sum(counts[position] for rows in list(world.farewell.values()) for counts in rows.values())
    paid = {budget: Sums((call.end, call.counts[position]) for call in books.covered(*budget) if call.end is not None)
            for budget in list(world.limits)}
    for session, journal in books.journals.items():
        creation = journal[0].body
        payer = (creation.get("workstream", ""), creation["agent"]["id"])
        calls = books.calls_by_session[session]
        for entry in journal:
            if entry.kind != TURN_ENDED or entry.body["status"] != "failed":
                continue
            error, what = entry.body["error"], f"turn {session}/{entry.body['turn']}"
            if error["code"] not in CODES.values():
                books.fault(any(call.turn == entry.body["turn"] and call.kind == CALL_ABANDONED
                                and call.ended["error"]["code"] == error["code"] for call in calls),
                            f"{what}: failed with {error} and no call of it did")
                continue
            named = re.search(r"budget of (\w+) '([^']*)'", error["message"])
            scope, name = named.groups() if named else ("session", session)
            books.fault(CODES[scope] == error["code"], f"{what}: {error}")
            said = amounts(error["message"])
            if len(said) != 4:
                books.fault(False, f"{what}: not four amounts in {error}")
                continue
            limit, spent, reserved, wanted = said
            books.fault(spent + reserved + wanted > limit, f"{what}: there was enough: {error}")
            least = world.most * world.prices[creation["agent"]["model"]]["output"] // 1000
            books.fault(wanted >= least, f"{what}: a call for {wanted}")
            if scope == "session":
                own = sum(call.counts[position] for call in calls if call.end is not None and call.seq < entry.seq)
                books.fault((limit, spent, reserved) == (creation.get("spend_limit"), own, 0),
                            f"{what}: {own} of {creation.get('spend_limit')} were spent: {error}")
            else:
                books.fault(covers(scope, name, payer), f"{what}: not its budget: {error}")
                books.fault(any(asked <= entry.time and limit == value for asked, value in world.limits[scope, name]),
                            f"{what}: no such limit was set: {error}")
                most = paid[scope, name].before(entry.time + 1) + gone
                books.fault(spent <= most, f"{what}: at most {most} were spent: {error}")


def check_upstream(books, world):
    """All that the model saw is in the journals, and what it told is what was charged."""
    by_key = collections.defaultdict(list)
    for call in books.calls:
        if call.asked:
            by_key[call.key].append(call)
    saw, gone = collections.defaultdict(list), collections.Counter()
    for request in world.requests:
        session = world.session_of(request)
        if session in books.deleted:
            gone[session] += 1
        else:
            saw[request["key"]].append(request)
    for key, requests in saw.items():
        counted = [call for call in by_key[key] if call.end is None or call.counts[0]]  # or will be
        books.fault(len(requests) <= len(counted),
                    f"{len(requests)} requests were seen by the model and {len(counted)} are counted: {requests}, "
                    f"for {by_key[key]}")
    told = {request["id"]: request for request in world.requests}
    taken = collections.Counter()
    for call in books.calls:
        what = f"call {call.session}/{call.seq}"
        if call.kind == CALL_FINISHED:
            taken[call.ended.get("response_id")] += 1
            request = told.get(call.ended.get("response_id"))
            books.fault(request is not None and request["key"] == call.key
                        and request["fate"] in ("answered", "untold")
                        and call.ended.get("usage") == usage_of(request), f"{what}: the model told {request}")
        elif call.kind == CALL_ABANDONED and not call.ended.get("lost") and not call.ended.get("unsent"):
            bad = [request for request in saw[call.key] if request["fate"] in ("cut", "refused", "denied")]
            books.fault(any(call.ended.get("usage") in (usage_of(request), None) for request in bad),
                        f"{what}: abandoned for {call.ended['error']}, the model did {bad}")
    books.fault(all(count == 1 for count in taken.values()), f"answers that were taken twice: {taken.most_common(3)}")
    for session, seen in gone.items():
        counted = total(world.farewell.get(session, {}).values())[0]
        books.fault(seen <= counted, f"the model saw {seen} requests of {session}, {counted} were counted")


def usage_of(request):
    usage = request["usage"]
    if not usage:
        return None
    details = usage["prompt_tokens_details"]
    return {"input": usage["prompt_tokens"], "cached": details["cached_tokens"],
            "cache_write": details["cache_write_tokens"], "output": usage["completion_tokens"],
            "reasoning": usage["completion_tokens_details"]["reasoning_tokens"]}


def check_sessions(books, world):
    """What was acknowledged is there, with the limit and the workstream it was given."""
    for session, (workstream, limit, model) in list(world.sessions.items()):
        if session in books.deleted:
            books.fault(session in world.farewell, f"{session} is deleted and nobody asked for it")
            continue
        creation = books.journals[session][0].body if session in books.journals else {}
        found = (creation.get("workstream"), creation.get("spend_limit"), creation.get("agent", {}).get("model"))
        books.fault(found == (workstream, limit, model), f"{session}: {found}, asked for {(workstream, limit, model)}")
    books.fault(world.deleted <= books.deleted, f"deleted and still there: {world.deleted - books.deleted}")


# What the server says, for one that runs and is idle.

def usage_by(server, *dimensions, limit=1000):
    """All pages of GET /api/usage."""
    rows, after = {}, None
    while True:
        query = f"limit={limit}"
        if dimensions:
            query += "&group_by=" + ",".join(dimensions)
        if after:
            query += "&after=" + re.sub(r"[^A-Za-z0-9_.-]", lambda found: f"%{ord(found[0]):02X}", after)
        status, _, page = server.request("GET", f"/api/usage?{query}")
        assert status == 200, (status, page)
        for row in page["data"]:
            key = tuple(row[name] or "" for name in dimensions)
            assert key not in rows, f"{key} is on two pages"
            rows[key] = tuple(row[name] for name in API_COUNTS)
        if not page["has_more"]:
            return rows
        after = page["next"]


def compare_with_answers(books, world, server, each_session):
    """Faults of what an idle server says, by the journals."""
    faults = []
    expected = books.expected_usage(world)
    faults += differences("GET /api/usage", usage_by(server, *DIMENSIONS, limit=37), expected)
    for dimension in DIMENSIONS:
        rows = collections.defaultdict(lambda: (0,) * len(COUNTS))
        for key, counts in expected.items():
            one = (key[DIMENSIONS.index(dimension)],)
            rows[one] = plus(rows[one], counts)
        faults += differences(f"GET /api/usage by {dimension}", usage_by(server, dimension), rows)
    faults += differences("GET /api/usage in one", usage_by(server), {(): total(expected.values())} if expected else {})
    status, _, page = server.request("GET", "/api/budgets")
    assert status == 200, (status, page)
    said = {(row["scope"], row["id"]): (row["limit_nano"], row["window"], row["spent_nano"], row["reserved_nano"])
            for row in page["data"]}
    faults += differences("GET /api/budgets", said, {
        key: (budget.limit, budget.window, budget.spent, 0) for key, budget in books.budgets.items()})
    for session in sorted(world.sessions.keys() - books.deleted) if each_session else ():
        faults += differences(f"the usage of {session}", *session_answers(books, server, session))
    return faults


def session_answers(books, server, session):
    """What is said of one session, and what should be: its limit, what it spent, and its turns."""
    turns = collections.defaultdict(lambda: (0,) * len(COUNTS))
    for call in books.calls_by_session[session]:
        turns[call.turn] = plus(turns[call.turn], call.counts)
    limit = books.journals[session][0].body.get("spend_limit")
    spent = total(turns.values())[COUNTS.index("cost")] if turns else 0
    expected = {"limit": limit, "spent": spent, "reserved": 0,
                "turns": [counts for _, counts in sorted(turns.items()) if any(counts)]}
    status, _, page = server.request("GET", f"/api/sessions/{session}/usage?limit=1000")
    assert status == 200 and not page["has_more"], (status, page)
    found = {"limit": page["limit_nano"], "spent": page["spent_nano"], "reserved": page["reserved_nano"],
             "turns": [counts for turn in page["data"] if any(counts := tuple(turn[name] for name in API_COUNTS))]}
    if limit is not None:
        expected["consumed"] = spent // 10**7  # whole cents
        found["consumed"] = server.get(session)["spend_control"]["consumed"]
    return found, expected
