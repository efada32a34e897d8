#!/usr/bin/env python3
"""A disk that is full, and one that fails, under the whole server.

    run.py --binary perdure --shim gate_shim.so [--only TEXT]

*Full* is a real file system: a tmpfs of a fixed size in a mount namespace of this test's own, which needs
root or user namespaces; without either these cases are skipped. What is refused must be said (503, /readyz,
the metric), reads must go on, the result of a call that is on its way must still be stored, and with space
again the server must go on by itself. *Failing* is a flush that does not (tests/gate/gate_shim.c): it ends
the process. Whatever happened, what was acknowledged is there afterwards. The last line is
"N passed, N failed, N skipped".
"""

import argparse
import json
import os
import subprocess
import sys
import time
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from perdure_test import HANG, Model, Scratch, Server, ServerDied, message  # noqa: E402

SIZE = 48 << 20  # of the small disk; the store's reserve and its headroom are 8 MiB each
FATAL = "did not reach the disk. Ending now"
FATAL_STATUS = 70
UNAVAILABLE = {"type": "service_unavailable_error", "code": "service_unavailable_error",
               "message": "The disk is full: nothing new can be stored until there is space again.",
               "param": None}


class Disk:
    """A full disk at will: the file system that the data directory of a server is on."""

    def __init__(self, path):
        self.path = path
        self.filler = os.path.join(path, "filler")
        os.mkdir(path)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "none", path], check=True)

    def fill(self):
        """To the last byte."""
        with open(self.filler, "ab", buffering=0) as file:
            for size in (1 << 20, 4096, 1):
                try:
                    while file.write(b"x" * size) == size:
                        pass
                except OSError:
                    pass

    def empty(self):
        os.unlink(self.filler)

    def close(self):
        subprocess.run(["umount", "-l", self.path], check=False)


class Case:
    """A server whose data lies apart from its log, its model, and all that it has acknowledged."""

    def __init__(self, options, scratch):
        self.disk = None
        self.scratch = scratch
        self.model = Model()
        self.server = Server(options.binary, scratch, self.model.config())
        self.sessions = {}  # id: the texts that were acknowledged for it

    def on_a_small_disk(self):
        self.disk = Disk(os.path.join(self.scratch, "disk"))
        self.server.data = os.path.join(self.disk.path, "data")

    def close(self):
        self.server.close()
        self.model.close()
        if self.disk:
            self.disk.close()

    def create(self, text, key=None):
        """The answer; what is acknowledged is remembered."""
        status, headers, body = self.server.create(text, key)
        if status == 201:
            self.sessions[body["id"]] = [text]
        return status, headers, body

    def send(self, session, text, key=None):
        status, headers, body = self.server.send(session, [message(text)], key)
        if status == 202:
            self.sessions[session].append(text)
        return status, headers, body

    def surely(self, text):
        status, _, body = self.create(text)
        assert status == 201, (status, body)
        self.server.wait_for(body["id"], "idle")
        return body["id"]

    def working_on_a_small_disk(self):
        """Two sessions: one at rest, and one whose model call does not end until the gate is opened."""
        self.on_a_small_disk()
        self.server.start()
        resting = self.surely("before")
        self.model.gate.clear()
        working = self.create("held")[2]["id"]
        self.hold_until("held")
        return resting, working

    def hold_until(self, text):
        """Until the model has been asked that; its gate is closed."""
        end = time.monotonic() + HANG
        while not any(text in str(request) for request in list(self.model.requests)):
            assert time.monotonic() < end, "the call is never made"
            time.sleep(0.01)

    def reasons(self):
        status, headers, body = self.server.request("GET", "/readyz")
        assert (status == 200) == (body["status"] == "ready"), (status, body)
        assert status in (200, 503) and (status == 200 or headers.get("Retry-After")), (status, headers)
        return [reason["reason"] for reason in body["reasons"]]

    def metric(self, name):
        text = self.server.request("GET", "/metrics")[2].decode()
        return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(name + " "))

    def run_full(self):
        """Fills the disk, then writes until that is noticed; the first refusal and its key."""
        self.disk.fill()
        for number in range(10_000):
            key = f"full-{number}"
            status, headers, body = self.create(f"one more {number} " + "x" * 2000, key)
            if status != 201:
                return status, headers, body, key
        raise AssertionError("the disk is full, and everything is taken")

    def start_unready(self):
        """Where the port stands in no file, and the server is not ready: the log says where it listens."""
        end = time.monotonic() + HANG
        with open(self.server.log.name, encoding="utf-8") as file:
            file.seek(0, os.SEEK_END)
            self.server.start(wait=False)
            line = ""
            while '"message":"listening"' not in line:
                line = file.readline() or time.sleep(0.01) or ""
                assert self.server.process.poll() is None, "it does not start"
                assert time.monotonic() < end, "it does not listen"
        self.server.port = int(json.loads(line)["url"].rsplit(":", 1)[1])

    def wait_until_ready(self):
        end = time.monotonic() + HANG
        while self.reasons():
            assert time.monotonic() < end, "there is space, and the server does not take work"
            time.sleep(0.01)

    def audit(self, answered=True):
        """Everything that was acknowledged is there, once and in order, and nothing else is."""
        for session, texts in self.sessions.items():
            if answered:
                self.server.wait_for(session, "idle")
            items = self.server.items(session)
            said = ["".join(part["text"] for part in item["content"]) for item in items
                    if item.get("role") == "user"]
            assert said == texts, (session, said, texts)
            if answered:
                heard = ["".join(part["text"] for part in item["content"]) for item in items
                         if item.get("role") == "assistant"]
                assert heard == [f"I heard: {text}" for text in texts], (session, heard)
        listed, after = set(), ""
        while True:
            status, _, page = self.server.request("GET", f"/v1/agents/sessions?limit=100{after}")
            assert status == 200, page
            listed |= {session["id"] for session in page["data"]}
            if not page["has_more"]:
                break
            after = f"&after={page['last_id']}"
        assert listed == set(self.sessions), listed ^ set(self.sessions)


def check_refusal(status, headers, body):
    assert status == 503, (status, body)
    assert headers.get("Retry-After"), headers
    assert body["error"] == UNAVAILABLE, body


def check_reads(case, session):
    """Every way of reading goes on, on a session that is idle."""
    case.server.wait_for(session, "idle")
    for path in ("", "/items", "/turns"):
        status, _, body = case.server.request("GET", f"/v1/agents/sessions/{session}{path}")
        assert status == 200, (path, status, body)
    assert case.server.request("GET", "/v1/agents/sessions")[0] == 200
    assert case.server.request("GET", "/healthz")[0] == 200


def full_and_empty_again(case):
    """What is asked for on a full disk is refused, what runs ends, and space is all that is needed."""
    before, running = case.working_on_a_small_disk()
    status, headers, body, key = case.run_full()
    check_refusal(status, headers, body)
    check_refusal(*case.send(before, "more"))
    assert case.reasons() == ["disk_full"], case.reasons()
    assert case.metric("perdure_journal_disk_full") == 1
    check_reads(case, before)

    # The calls on their way have cost something: their results use the reserve.
    calls = case.model.count()
    case.model.gate.set()
    case.server.wait_for(running, "idle")
    assert [item["role"] for item in case.server.items(running)] == ["user", "assistant"]
    check_refusal(*case.send(before, "more"))
    assert case.model.count() >= calls

    case.disk.empty()
    case.wait_until_ready()
    assert case.metric("perdure_journal_disk_full") == 0
    # The refused requests left nothing: the same key makes its session now, and only one.
    text = f"one more {key.removeprefix('full-')} " + "x" * 2000
    status, _, made = case.create(text, key)
    assert status == 201, made
    assert case.create(text, key)[2]["id"] == made["id"]
    status, _, body = case.send(before, "after")
    assert status == 202, body
    case.audit()
    case.server.kill()
    case.server.start()
    case.audit()


def started_on_a_full_disk(case):
    """A server that is killed on a full disk starts on it, reads, and goes on when there is space."""
    before, lost = case.working_on_a_small_disk()
    check_refusal(*case.run_full()[:3])
    case.server.kill()
    case.model.gate.set()
    case.disk.fill()
    case.start_unready()
    end = time.monotonic() + HANG
    while case.reasons() != ["disk_full"]:  # it may still be recovering
        assert time.monotonic() < end, case.reasons()
        time.sleep(0.01)
    check_reads(case, before)
    check_refusal(*case.send(before, "more"))
    assert case.server.get(lost)["status"] != "failed"
    case.audit(answered=False)
    published = os.path.join(case.server.data, "server.json")
    assert not os.path.exists(published), "the disk was not full"
    case.disk.empty()
    case.wait_until_ready()
    status, _, body = case.send(before, "after")
    assert status == 202, body
    case.audit()
    end = time.monotonic() + HANG
    while not os.path.exists(published):
        assert time.monotonic() < end, "the command line does not learn where the server is"
        time.sleep(0.01)
    case.server.stop()
    assert case.server.process.returncode == 0, case.server.process.returncode


def a_flush_that_fails(case, shim):
    """It ends the process with its sentence; the next start has all that was acknowledged."""
    gate = os.path.join(case.scratch, "gate")
    os.mkdir(gate)
    fail = os.path.join(gate, "fail")
    case.server.environment = {"LD_PRELOAD": shim, "GATE_DIR": gate,
                               "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0"}
    case.server.start()
    first = case.surely("first")
    for number, text in enumerate(("a new session", "a message", "an answer")):
        if text == "an answer":
            case.model.gate.clear()
            running = case.create("held")[2]["id"]
            case.hold_until("held")
        open(fail, "w", encoding="utf-8").close()
        answer = None
        try:
            if text == "a new session":
                answer = case.server.create("never acknowledged", "again")
            elif text == "a message":
                answer = case.server.send(first, [message("never acknowledged")], "again")
            else:
                case.model.gate.set()
        except ServerDied:
            pass
        assert answer is None, f"{text} was acknowledged over a failed flush: {answer}"
        assert case.server.process.wait(HANG) == FATAL_STATUS, (text, case.server.process.returncode)
        with open(case.server.log.name, encoding="utf-8") as file:
            log = file.read()
        assert log.count(FATAL) == number + 1, f"{text}: the log does not say why\n{log}"
        assert "perdure.db" in log.splitlines()[-1], log.splitlines()[-1]

        os.unlink(fail)
        case.server.start()
        # Not answered is not refused: the same key tells which, and nothing happens twice.
        if text == "a new session":
            status, _, body = case.create("never acknowledged", "again")
            assert status == 201, body
        elif text == "a message":
            status, _, body = case.send(first, "never acknowledged", "again")
            assert status == 202, body
        else:
            case.server.wait_for(running, "idle")
        case.audit()


CASES = [
    ("a full disk, and space again", full_and_empty_again, True),
    ("a start on a full disk", started_on_a_full_disk, True),
    ("a flush that fails", a_flush_that_fails, False),
]


def may_mount():
    """In a mount namespace of our own, entered by running this program again in one; else False."""
    if os.environ.get("PERDURE_DISK_NAMESPACE"):
        return True
    for how in (["unshare", "--mount"], ["unshare", "--user", "--map-root-user", "--mount"]):
        probe = [*how, "sh", "-c", 'mount -t tmpfs -o size=1m none "$1"', "sh", os.path.dirname(__file__)]
        try:
            can = subprocess.run(probe, capture_output=True, check=False).returncode == 0
        except OSError:
            return False
        if can:
            os.environ["PERDURE_DISK_NAMESPACE"] = "1"
            os.execvp(how[0], [*how, sys.executable, *sys.argv])
    return False


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--shim", required=True)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    mounts = may_mount()
    passed = failed = skipped = 0
    for name, run, needs_mount in CASES:
        if options.only not in name:
            continue
        if needs_mount and not mounts:
            print(f"skipped {name}: no mount namespace can be had here", flush=True)
            skipped += 1
            continue
        with Scratch() as scratch:
            case = Case(options, scratch)
            try:
                run(case) if needs_mount else run(case, os.path.abspath(options.shim))
                passed += 1
                print(f"ok     {name}", flush=True)
            except Exception:  # noqa: BLE001 (the next case says more)
                failed += 1
                print(f"FAILED {name}\n{traceback.format_exc()}", flush=True)
                with open(case.server.log.name, encoding="utf-8", errors="replace") as file:
                    print("".join(file.readlines()[-20:]), flush=True)
            finally:
                case.close()
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
