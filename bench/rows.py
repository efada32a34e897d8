"""The rows of the benchmark. Each function measures one row, `bench.rounds` times, and says against
what; what the figures mean stands in docs/benchmarks.md."""

import contextlib
import http.client
import json
import os
import random
import sqlite3
import statistics
import subprocess
import time

from measure import H2o, Listener, Nginx, Perdure, cpu_seconds, resident

MICRO = 1e6
TURN_KINDS = (100, 101, 102)  # docs/formats/journal.md: turn created, started, ended
TURN_CREATED = 100


class Bench:
    """What a row needs: the binaries, a directory on the disk that is measured, how much to do."""

    def __init__(self, binary, tool, node, directory, rounds, quick, full):
        self.binary = binary
        self.tool = tool
        self.node = node
        self.directory = directory
        self.rounds = rounds
        self.quick = quick
        self.full = full

    def less(self, normal, quick):
        return quick if self.quick else normal

    def model(self, **options):
        return Listener(self.tool.start("stub-model", **options))

    def server(self, name, model_port):
        return Perdure(self.binary, os.path.join(self.directory, name), model_port)

    def commit_p50(self):
        """What one durable commit costs on this disk now, in microseconds."""
        return self.tool.run("commits", dir=self.directory, count=self.less(500, 200))["commit_p50_us"]

    def file(self, name, lines):
        path = os.path.join(self.directory, name)
        with open(path, "wb") as file:
            file.write(lines if isinstance(lines, bytes) else "".join(f"{x}\n" for x in lines).encode())
        return path


def median_of(values):
    return statistics.median(values)


# ---- commits on the critical path ---------------------------------------------------------------

def commits(bench, measures):
    turns = 10
    with bench.model() as model, bench.server("commits", model.port) as server:
        for _ in range(min(bench.rounds, 3)):
            counts = {}
            for kind, tool in (("plain", False), ("tool", True)):
                before = server.metrics()
                bench.tool.run("turns", port=server.port, turns=turns, session_turns=turns, tool=tool)
                after = server.metrics()
                counts[kind] = [(after[name] - before[name]) / turns for name in
                                ("perdure_journal_commits_total", "perdure_journal_appends_total")]
            measures.add("commits of a plain turn", counts["plain"][0], "", 2)
            measures.add("commits that a tool round adds", counts["tool"][0] - counts["plain"][0], "", 2)
            measures.add("appends of a plain turn", counts["plain"][1], "")


# ---- latency added to a model call --------------------------------------------------------------

def latency(bench, measures):
    count = bench.less(300, 100)
    with bench.model() as model, bench.server("latency", model.port) as server:
        bench.tool.run("turns", port=server.port, turns=20)  # warm
        for _ in range(bench.rounds):
            commit = bench.commit_p50()
            call = bench.tool.run("direct", port=model.port, count=count)
            turn = bench.tool.run("turns", port=server.port, turns=count, session_turns=10)
            commit = (commit + bench.commit_p50()) / 2
            whole = turn["turn_p50_us"] - call["turn_p50_us"]
            first = turn["first_p50_us"] - call["first_p50_us"]
            measures.add("commit p50 of this disk", commit, "µs")
            measures.add("model called directly, p50", call["turn_p50_us"], "µs")
            measures.add("turn through Perdure, p50", turn["turn_p50_us"], "µs")
            measures.add("added to a turn", whole, "µs")
            measures.add("added to a turn ÷ (2 × commit + 150 µs)", whole / (2 * commit + 150), "×", 1)
            measures.add("added to the first token", first, "µs")
            measures.add("added to the first token ÷ (commit + 150 µs)", first / (commit + 150), "×", 1)
            measures.add("turn through Perdure, p99", turn["turn_p99_us"], "µs")


# ---- streamed chunks ----------------------------------------------------------------------------

def chunks(bench, measures):
    if not Nginx.program():
        print("bench: the row chunks needs nginx")
        return
    pieces, calls = 200, bench.less(20, 5)
    with bench.model(stamped=pieces, gap_us=300) as model, bench.model(stamped=1, gap_us=300) as short, \
            Nginx(bench.directory, [model.port, short.port]) as proxy, \
            bench.server("chunks", model.port) as server, bench.server("short", short.port) as server_short:

        def pass_through(port, **options):
            return bench.tool.run("chunks", port=port, count=calls, **options)

        def cost(pids, ports, **options):
            """Processor time of a piece: of long answers, less that of answers with one piece."""
            spent = []
            for pid, port in zip(pids, ports):
                before = cpu_seconds(pid)
                done = pass_through(port, **options)
                spent.append(cpu_seconds(pid) - before)
                if len(spent) == 1:
                    times = done
            return (spent[0] - spent[1]) / (calls * (pieces - 1)) * MICRO, times

        for port in proxy.ports:
            pass_through(port)
        for each in (server, server_short):
            pass_through(each.port, session=True)
        for _ in range(bench.rounds):
            direct = pass_through(model.port)
            theirs, through_nginx = cost([proxy.pid] * 2, proxy.ports)
            ours, through_us = cost([server.pid, server_short.pid], [server.port, server_short.port], session=True)
            measures.add("a piece straight from the model, p50", direct["piece_p50_us"], "µs")
            measures.add("through nginx, p50", through_nginx["piece_p50_us"], "µs")
            measures.add("through a session, p50", through_us["piece_p50_us"], "µs")
            measures.add("through a session, p99", through_us["piece_p99_us"], "µs")
            measures.add("added by a session ÷ added by nginx",
                         (through_us["piece_p50_us"] - direct["piece_p50_us"])
                         / (through_nginx["piece_p50_us"] - direct["piece_p50_us"]), "×")
            measures.add("CPU of a piece, nginx", theirs, "µs")
            measures.add("CPU of a piece, a session", ours, "µs")
            measures.add("CPU of a piece, a session ÷ nginx", ours / theirs, "×")


# ---- the agent loop -----------------------------------------------------------------------------

def loop(bench, measures):
    seconds = bench.less(5, 2)
    with bench.model() as model, bench.server("loop", model.port) as server:
        bench.tool.run("turns", port=server.port, turns=20, tool=True)
        for _ in range(bench.rounds):
            for clients in (1, 64):
                before = cpu_seconds(server.pid)
                done = bench.tool.run("turns", port=server.port, clients=clients, seconds=seconds, tool=True)
                used = cpu_seconds(server.pid) - before
                label = f"{clients} client{'s' if clients > 1 else ''}"
                measures.add(f"turns per second, {label}", done["turns"] / done["seconds"], "/s")
                measures.add(f"server CPU per turn, {label}", used / done["turns"] * MICRO, "µs")
                measures.add(f"turn p99, {label}", done["turn_p99_us"] / 1000, "ms")
            measures.add("commit p50 of this disk", bench.commit_p50(), "µs")


# ---- cost by length -----------------------------------------------------------------------------

def bytes_by_turn(database, session):
    """Entry and snapshot bytes of a session, a list by turn."""
    store = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    entries = store.execute("SELECT seq, kind, coalesce(length(body), 0) FROM journal WHERE session = ? "
                            "ORDER BY seq", (session,)).fetchall()
    snapshots = dict(store.execute("SELECT seq, length(body) FROM snapshot WHERE session = ?", (session,)))
    store.close()
    bodies, stored = [], []
    for seq, kind, size in entries:
        if kind == TURN_CREATED:
            bodies.append(0)
            stored.append(0)
        if bodies:
            bodies[-1] += size
            stored[-1] += snapshots.get(seq, 0)
    return bodies, stored


def sessions_of(database):
    store = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    rows = [row[0] for row in store.execute("SELECT session FROM journal GROUP BY session "
                                            "ORDER BY min(time), session")]
    store.close()
    return rows


def growth(bench, measures):
    long, window, batch, messages = bench.less(1000, 300), bench.less(20, 10), 64, 200
    # As many context items as `long` - 1 turns of two, in turns of 64 messages and an answer.
    batch_turns = round((long - 1) * 2 / (batch + 1))
    text = {"text_bytes": messages}
    for turn in range(min(bench.rounds, 3)):
        with bench.model(pieces=10, piece_bytes=messages // 10) as model, \
                bench.server(f"growth{turn}", model.port) as server:
            text["port"] = server.port
            bench.tool.run("turns", turns=20, **text)  # warm

            def turns_of(count, **options):
                return bench.tool.run("turns", turns=count, session_turns=count, server_pid=server.pid,
                                      **text, **options)["cpu_ns"]

            early = turns_of(70)
            model.get("/reset", "POST")
            late = turns_of(long + window)
            sent = model.get("/stats")["bytes"] / (long + window)
            wide = turns_of(1 + batch_turns + 2 * window, batch=batch, batch_turns=batch_turns)
        at_10 = median_of(early[9 - 4:9 + window - 4]) / 1000
        at_long = median_of(late[long - window // 2:long + window // 2]) / 1000
        at_wide = median_of(wide[1 + batch_turns:]) / 1000
        measures.add("server CPU of turn 10", at_10, "µs")
        measures.add(f"server CPU of turn {long}", at_long, "µs")
        measures.add(f"server CPU, turn {long} ÷ turn 10, the context growing", at_long / at_10, "×")
        measures.add(f"server CPU of turn {batch_turns + window}, as much context", at_wide, "µs")
        measures.add(f"server CPU at equal context, turn {long} ÷ turn {batch_turns + window}",
                     at_long / at_wide, "×", 1.05)
        measures.add("mean request to the model", sent / 1000, "kB")

        database = os.path.join(server.data, "perdure.db")
        ids = sessions_of(database)
        short_bytes, short_snapshots = bytes_by_turn(database, ids[-3])
        long_bytes, long_snapshots = bytes_by_turn(database, ids[-2])
        assert len(short_bytes) == 70 and len(long_bytes) == long + window
        at_10 = statistics.mean(short_bytes[4:36])
        at_long = statistics.mean(long_bytes[long - 16:long + window])
        measures.add("journal bytes of turn 10", at_10, "B")
        measures.add(f"journal bytes, turn {long} ÷ turn 10", at_long / at_10, "×", 1.05)
        # Eight snapshots are kept: the last of the long session, and all of the short one.
        first = [size for size in short_snapshots if size]
        last = [size for size in long_snapshots if size]
        measures.add(f"snapshot bytes, at turn {long} ÷ at turn 10", statistics.mean(last) / first[0], "×", 1.05)


# ---- reads --------------------------------------------------------------------------------------

def read_stream(port, path, stop):
    """The raw body of an event stream up to the event that holds `stop`."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path, headers={"Authorization": "Bearer bench"})
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    data = b""
    for line in answer:
        data += line
        if line == b"\n" and stop in data:
            break
    connection.close()
    return data


def reads(bench, measures):
    if not bench.node:
        raise SystemExit("bench: row reads needs node; scripts/setup.sh node installs it")
    count = {"get": bench.less(20000, 5000), "stream": bench.less(2000, 500)}
    stop = "agent.session.idle"
    with bench.model(pieces=40, piece_bytes=8) as model, bench.server("reads", model.port) as server:
        created = list(server.stream("/v1/agents/sessions", {
            "agent": {"model": "stub"}, "environment": {"type": "none"}, "input": "hello", "stream": True}))
        first, session = created[0][0], created[0][1]["session"]["id"]
        path = f"/v1/agents/sessions/{session}"
        # From the first event of the turn on; without padding, so that both serve the same bytes.
        events = f"{path}/events?starting_after={first}&include_obfuscation=false"
        padded = f"{path}/events?starting_after={first}"
        body = http_body(server.port, path)
        stream = read_stream(server.port, events, stop.encode())
        files = bench.file("body", body), bench.file("stream", stream)
        paths = {"get": bench.file("get", [path]), "stream": bench.file("events", [events]),
                 "padded": bench.file("padded", [padded]),
                 "node get": bench.file("node_get", ["/get"]), "node stream": bench.file("node_stream", ["/stream"])}
        node = subprocess.Popen([bench.node, os.path.join(os.path.dirname(__file__), "node_server.mjs"), *files],
                                stdout=subprocess.PIPE)
        with Listener(node) as yardstick, contextlib.ExitStack() as stack:
            h2o = stack.enter_context(H2o(bench.directory, files[0])) if H2o.program() else None

            def cost(target, what, kind):
                options = {"stop_at": stop} if kind == "stream" else {}
                before = cpu_seconds(target.pid)
                done = bench.tool.run("reads", port=target.port, paths=paths[what], clients=8,
                                      count=count[kind], **options)
                return (cpu_seconds(target.pid) - before) / done["reads"] * MICRO

            for kind in ("get", "stream"):  # let Node compile what it runs
                cost(yardstick, f"node {kind}", kind)
                cost(server, kind, kind)
            for _ in range(bench.rounds):
                ours, theirs = cost(server, "get", "get"), cost(yardstick, "node get", "get")
                measures.add(f"CPU of GET session ({len(body)} B)", ours, "µs")
                measures.add("Node, the same bytes", theirs, "µs")
                measures.add("GET session ÷ Node", ours / theirs, "×", 0.5)
                if h2o:
                    theirs = cost(h2o, "node get", "get")
                    measures.add("h2o, the same bytes from a file", theirs, "µs")
                    measures.add("GET session ÷ h2o", ours / theirs, "×", 1.5)
                ours, theirs = cost(server, "stream", "stream"), cost(yardstick, "node stream", "stream")
                events_count = stream.count(b"\n\n")
                measures.add(f"CPU of a {events_count}-event stream ({len(stream)} B)", ours, "µs")
                measures.add("Node, the same stream in one write", theirs, "µs")
                measures.add(f"{events_count}-event stream ÷ Node", ours / theirs, "×", 0.5)
                measures.add("the stream with its padding, as clients get it", cost(server, "padded", "stream"), "µs")


def http_body(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path, headers={"Authorization": "Bearer bench"})
    body = connection.getresponse().read()
    connection.close()
    return body


# ---- waking up ----------------------------------------------------------------------------------

def wake(bench, measures):
    sessions = 1000
    with bench.model(hang=True) as model:
        for turn in range(bench.rounds):
            server = bench.server(f"wake{turn}", model.port).start()
            try:
                ids = [server.create("hello")[2]["id"] for _ in range(sessions)]
                assert all(server.get(session)["status"] == "in_progress" for session in ids[:5])
                server.kill()
                model.get("/reset", "POST")
                server.keep_port()
                paths = bench.file("wake_ids", ids)
                waiting = bench.tool.start("await", port=server.port, ids=paths)
                time.sleep(0.2)  # it is up and trying by now
                started = time.monotonic_ns()
                server.start(wait=False)
                output, _ = waiting.communicate(timeout=120)
                if waiting.returncode != 0:
                    raise RuntimeError("the sessions were not readable")
                times = {name: (value - started) / 1e9 for name, value in json.loads(output).items()}
                first = model.get("/stats")["first_ns"]
                measures.add("start until it listens", times["listening_ns"], "s")
                measures.add("start until /readyz", times["ready_ns"], "s")
                measures.add(f"start until {sessions} active sessions are readable", times["all_read_ns"], "s", 0.5)
                measures.add("start until the first model call is made again", (first - started) / 1e9, "s", 0.1)
            finally:
                server.close()


# ---- dormant sessions ---------------------------------------------------------------------------

def store_bytes(server):
    return sum(os.path.getsize(os.path.join(server.data, name)) for name in os.listdir(server.data)
               if name.startswith("perdure.db"))


def dormant(bench, measures):
    sessions = 1_000_000 if bench.full else bench.less(100_000, 20_000)
    sample = min(5000, sessions // 20)
    text = 256
    with bench.model(pieces=16, piece_bytes=text // 16) as model:
        with bench.server("dormant", model.port) as server:
            server.wait_for(server.create("u" * text)[2]["id"], "idle")
        before = store_bytes(server)
        ids_file = os.path.join(bench.directory, "dormant_ids")
        loaded = bench.tool.run("seed", data_dir=server.data, count=sessions, ids=ids_file)
        each = (store_bytes(server) - before) / sessions
        many = f"{sessions:,} dormant sessions"
        measures.add(f"{many}: bytes each", each, "B")
        measures.add("of it entry bodies, the payload", loaded["payload_each"], "B")
        measures.add("bytes each over the payload", each - loaded["payload_each"], "B", 1000)
        measures.add(f"bytes each over the {2 * text} B of text said", each - 2 * text, "B")
        with open(ids_file, encoding="ascii") as file:
            ids = file.read().split()
        random.Random(1).shuffle(ids)
        for turn in range(bench.rounds):
            with server:
                measures.add("RSS after the start", resident(server.pid)[0] / 1e6, "MB", 64)
                warm, chosen = ids[:200], ids[200 + turn * sample:200 + (turn + 1) * sample]

                def get(some, name):
                    paths = bench.file(name, [f"/v1/agents/sessions/{id}" for id in some])
                    return bench.tool.run("reads", port=server.port, paths=paths, count=len(some))

                get(warm, "warm")
                woken, awake = get(chosen, "chosen"), get(chosen, "chosen")
                measures.add("warm wake through GET, p50", woken["read_p50_us"] / 1000, "ms")
                measures.add("warm wake through GET, p99", woken["read_p99_us"] / 1000, "ms", 0.5)
                measures.add("GET of a session awake, p99", awake["read_p99_us"] / 1000, "ms")
                measures.add(f"RSS with {sample:,} sessions awake", resident(server.pid)[0] / 1e6, "MB")


# ---- memory -------------------------------------------------------------------------------------

def idle(bench, measures):
    settle = 0 if bench.quick else 70  # idle actors leave after a minute
    with bench.model() as model:
        for turn in range(1 if bench.quick else 2):
            with bench.server(f"idle{turn}", model.port) as server:
                measures.add("RSS after the start", resident(server.pid)[0] / 1e6, "MB")
                bench.tool.run("turns", port=server.port, clients=64, seconds=bench.less(10, 2), tool=True)
                measures.add("RSS after 64 clients' agent loop", resident(server.pid)[0] / 1e6, "MB",
                             20 if settle == 0 else None)
                if settle:
                    time.sleep(settle)
                    whole, anonymous = resident(server.pid)
                    measures.add("idle RSS, 70 s later", whole / 1e6, "MB", 20)
                    measures.add("of it not the program's file", anonymous / 1e6, "MB")


# ---- finding memories ----------------------------------------------------------------------------

MEMORY_GOALS = {1_000: 1_000, 100_000: 5_000, 1_000_000: 40_000}  # µs


def memory(bench, measures):
    for records, goal in MEMORY_GOALS.items():
        if bench.quick and records > 1_000:
            continue
        for _ in range(min(bench.rounds, 3)):
            # A text table of a million answers in minutes: the ratio is taken where it ends in seconds.
            small = records < 1_000_000
            figures = bench.tool.run("memory", records=records, questions=1_000 if small else 300, fts=small)
            of = f"{records:,} records: "
            measures.add(of + "question, p50", figures["find_p50_us"], "µs")
            measures.add(of + "question, p99", figures["find_p99_us"], "µs", goal)
            if small:
                measures.add(of + "p99 over FTS5's", figures["find_p99_us"] / figures["fts_p99_us"], "×")
                measures.add(of + "records/s indexed over FTS5's",
                             figures["ingest_per_s"] / figures["fts_ingest_per_s"], "×")
            measures.add(of + "records/s indexed", figures["ingest_per_s"], "")


# name: (function, minutes of a plain run, what it shows)
ROWS = {
    "commits": (commits, 0.1, "commits on the critical path of a plain turn and of a tool round, counted"),
    "latency": (latency, 0.3, "latency added to a turn over calling the model directly"),
    "chunks": (chunks, 1, "latency and CPU that a streamed chunk costs, against nginx passing it through"),
    "loop": (loop, 1, "the agent loop: turns per second and CPU per turn"),
    "growth": (growth, 1, "CPU and journal bytes of a turn in a long session, against a short one"),
    "reads": (reads, 1, "CPU of GET session and of a stream's rejoin, against Node"),
    "wake": (wake, 1, "kill -9 with 1,000 active sessions: when they are readable, when they go on"),
    "dormant": (dormant, 1, "dormant sessions: bytes each, memory, waking"),
    "memory": (memory, 3, "finding records by their words in a namespace, against SQLite FTS5"),
    "idle": (idle, 3, "memory of the idle server after work"),
}
