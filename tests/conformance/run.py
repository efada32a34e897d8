#!/usr/bin/env python3
"""Plays the conformance cases against a running server. The format: README.md beside this file."""

import argparse
import concurrent.futures
import copy
import http.client
import json
import pathlib
import queue
import re
import sys
import threading
import time
import traceback
import urllib.parse
import uuid

HERE = pathlib.Path(__file__).resolve().parent


class Failure(Exception):
    """What came was not what the case demands."""


class BadFile(Exception):
    """The case itself cannot be read."""


# --- reading the files ---------------------------------------------------------------------------


class Step:
    def __init__(self, kind, argument, where):
        self.kind = kind  # request, until, stream, events, close, same, run
        self.argument = argument
        self.where = where
        self.headers = []
        self.body = None
        self.raw = False
        self.status = None
        self.expected_headers = []
        self.expected_body = None  # None: not checked; "-": empty; else JSON text
        self.events = []


class Case:
    def __init__(self, name, path):
        self.name = name
        self.path = path
        self.steps = []


METHOD = re.compile(r"(GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS) /")
DIRECTIVE = re.compile(r"@(until|stream|events|close|same|run)\b *(.*)")


def read_file(path):
    """The cases and the procedures of one file."""
    cases, procedures = [], {}
    current, step, in_body = None, None, False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        where = f"{path.name}:{number}"
        if line.startswith("### "):
            current, step, in_body = Case(line[4:].strip(), path), None, False
            cases.append(current)
        elif line.startswith("=== "):
            current, step, in_body = Case(line[4:].strip(), path), None, False
            procedures[current.name] = current
        elif line.startswith("# ") or line == "#":
            continue
        elif line.startswith("<"):
            if step is None:
                raise BadFile(f"{where}: an expectation without a request")
            in_body = False
            read_expectation(step, line, where)
        elif METHOD.match(line) or DIRECTIVE.match(line):
            if current is None:
                raise BadFile(f"{where}: a step outside a case")
            directive = DIRECTIVE.match(line)
            step = Step(*(directive.groups() if directive else ("request", line)), where)
            current.steps.append(step)
            in_body = False
        elif step is None or step.status is not None or step.events:
            if line.strip():
                raise BadFile(f"{where}: cannot be understood here")
        elif line.strip() == "@raw":
            step.raw = True
        elif in_body or step.raw or line.startswith(("{", "[", '"')):
            in_body = True
            step.body = line if step.body is None else step.body + "\n" + line
        elif ":" in line:
            name, value = line.split(":", 1)
            step.headers.append((name.strip(), value.strip()))
        elif line.strip():
            raise BadFile(f"{where}: neither a header field nor a body")
    return cases, procedures


def read_expectation(step, line, where):
    if line.startswith("<~"):
        step.events.append((line[2:].strip(), where))
        return
    text = line[1:].strip()
    if step.status is None:
        if not text.isdigit():
            raise BadFile(f"{where}: the first expectation is the status")
        step.status = int(text)
    elif step.expected_body is None and not text.startswith(("{", "[", '"')) and text != "-":
        step.expected_headers.append(text)
    else:
        step.expected_body = (step.expected_body or "") + text + "\n"


# --- patterns ------------------------------------------------------------------------------------

KINDS = {
    "any": lambda v: True,
    "string": lambda v: isinstance(v, str),
    "number": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
    "boolean": lambda v: isinstance(v, bool),
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
}


def substitute(text, variables):
    def value(match):
        name = match.group(1).strip()
        if name == "$uuid":
            return str(uuid.uuid4())
        if name.startswith("$repeat "):
            _, piece, count = name.split(" ")
            return piece * int(count)
        if name in variables:
            found = variables[name]
            return found if isinstance(found, str) else json.dumps(found)
        return match.group(0)

    return re.sub(r"\{\{(\$repeat .+? \d+|[^{}]*)\}\}", value, text)


def match(expected, actual, variables, path="body"):
    """Raises Failure where `actual` is not what `expected` describes."""
    if isinstance(expected, dict):
        if not isinstance(actual, dict):
            raise Failure(f"{path}: expected an object, got {short(actual)}")
        is_open = "..." in expected
        for key, value in expected.items():
            if key == "...":
                continue
            if key not in actual:
                raise Failure(f"{path}.{key} is missing")
            match(value, actual[key], variables, f"{path}.{key}")
        if not is_open:
            for key in actual:
                if key not in expected:
                    raise Failure(f"{path}.{key} is not expected: {short(actual[key])}")
    elif isinstance(expected, list):
        if not isinstance(actual, list):
            raise Failure(f"{path}: expected an array, got {short(actual)}")
        is_open = bool(expected) and expected[-1] == "..."
        wanted = expected[:-1] if is_open else expected
        if len(actual) < len(wanted) or (len(actual) > len(wanted) and not is_open):
            raise Failure(f"{path}: expected {len(wanted)} elements, got {short(actual)}")
        for index, value in enumerate(wanted):
            match(value, actual[index], variables, f"{path}[{index}]")
    elif isinstance(expected, str) and (whole := re.fullmatch(r"\{\{(.*)\}\}", expected, re.S)) and (
        "{{" not in whole.group(1)
    ):
        match_pattern(whole.group(1).strip(), actual, variables, path)
    else:
        if isinstance(expected, str):
            expected = substitute(expected, variables)
        if type(expected) is not type(actual) and not (
            KINDS["number"](expected) and KINDS["number"](actual)
        ):
            raise Failure(f"{path}: expected {short(expected)}, got {short(actual)}")
        if expected != actual:
            raise Failure(f"{path}: expected {short(expected)}, got {short(actual)}")


def match_pattern(pattern, actual, variables, path):
    if ":=" in pattern:
        name, pattern = (part.strip() for part in pattern.split(":=", 1))
        match_pattern(pattern, actual, variables, path)
        variables[name] = actual
    elif pattern.startswith("~"):
        expression = substitute(pattern[1:].strip(), variables)
        if not isinstance(actual, str) or not re.search(expression, actual):
            raise Failure(f"{path}: {short(actual)} does not match /{expression}/")
    elif pattern in KINDS:
        if not KINDS[pattern](actual):
            raise Failure(f"{path}: expected {pattern}, got {short(actual)}")
    elif pattern in variables:
        if variables[pattern] != actual:
            raise Failure(f"{path}: expected {short(variables[pattern])}, got {short(actual)}")
    else:
        raise BadFile(f"{path}: no variable or kind is called '{pattern}'")


def short(value):
    text = json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else repr(value)
    return text if len(text) <= 300 else text[:300] + "…"


def parse_expected(text, where):
    try:
        return json.loads(text)
    except ValueError as error:
        raise BadFile(f"{where}: the expected body is not JSON: {error}") from error


# --- talking to the server -----------------------------------------------------------------------


class Stream:
    """Reads server-sent events on a thread of its own, so that the case can go on meanwhile."""

    def __init__(self, connection, response, named=False):
        self.connection = connection
        self.response = response
        self.named = named  # every event has an event: line, and [DONE] is the last
        self.events = queue.Queue()
        self.taken = []
        self.pending = []  # looked at and put back
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        event_id, name, data = "", "", []
        try:
            for raw in self.response:
                line = raw.decode("utf-8").rstrip("\r\n")
                if line.startswith("data:"):
                    data.append(line[5:].removeprefix(" "))
                elif line.startswith("id:"):
                    event_id = line[3:].strip()
                elif line.startswith("event:") and self.named:
                    name = line[6:].strip()
                elif line.startswith("event:"):
                    self.events.put(("broken", f"there must be no event: line, got {line!r}"))
                elif not line and self.named and data == ["[DONE]"]:
                    self.events.put(("event", "", {"type": "[DONE]"}))
                    data = []
                elif not line and data:
                    payload = json.loads("\n".join(data))
                    if self.named and name != payload.get("type"):
                        self.events.put(("broken", f"event: {name!r} with {payload.get('type')!r}"))
                    self.events.put(("event", event_id, payload))
                    event_id, name, data = "", "", []
            self.events.put(("end",))
        except (OSError, ValueError, http.client.HTTPException, AttributeError) as error:
            self.events.put(("broken", str(error)))

    def next(self, deadline):
        if self.pending:
            return self.pending.pop(0)
        try:
            event = self.events.get(timeout=max(0.001, deadline - time.monotonic()))
        except queue.Empty:
            seen = ", ".join(e["type"].removeprefix("agent.session.") for _, e in self.taken[-12:])
            raise Failure(f"no event came; the last were: {seen or 'none'}") from None
        if event[0] == "broken":
            raise Failure(f"the stream broke: {event[1]}")
        if event[0] == "event":
            self.taken.append((event[1], event[2]))
        return event

    def durable(self):
        out = []
        for event_id, payload in self.taken:
            if event_id:
                payload = {k: v for k, v in payload.items() if k != "obfuscation"}
                out.append((event_id, payload))
        return out

    def close(self):
        try:
            if self.connection.sock:
                self.connection.sock.shutdown(2)
        except OSError:
            pass


class Player:
    def __init__(self, settings, procedures):
        self.settings = settings
        self.procedures = procedures
        self.variables = {}
        self.streams = {}
        self.log = []

    def play(self, steps):
        for step in steps:
            try:
                getattr(self, "do_" + step.kind)(step)
            except (Failure, BadFile) as error:
                raise type(error)(f"{step.where}: {error}") from None
            except (OSError, http.client.HTTPException) as error:
                raise Failure(f"{step.where}: {type(error).__name__}: {error}") from None

    def close(self):
        for stream in self.streams.values():
            stream.close()

    def deadline(self):
        return time.monotonic() + self.settings.timeout

    # A step of each kind.

    def do_request(self, step):
        self.check(step, *self.send(step, step.argument))

    def do_until(self, step):
        deadline = self.deadline()
        while True:
            try:
                self.check(step, *self.send(step, step.argument))
                return
            except Failure:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def do_stream(self, step):
        name, line = step.argument.split(" ", 1)
        connection, response = self.open(step, line)
        if step.status is not None and response.status != step.status:
            raise Failure(f"expected status {step.status}, got {response.status}: "
                          f"{response.read()[:500]!r}")
        self.check_headers(step, response)
        self.streams[name] = Stream(connection, response, "/v1/responses" in line)

    def do_events(self, step):
        stream = self.streams[step.argument.strip()]
        deadline = self.deadline()
        skip = False
        for text, where in step.events:
            try:
                skip = self.take(stream, text, deadline, skip)
            except Failure as error:
                raise Failure(f"({where}) expecting {text}: {error}") from None

    def do_close(self, step):
        self.streams.pop(step.argument.strip()).close()

    def do_same(self, step):
        first, second = (self.streams[name].durable() for name in step.argument.split())
        if [e[0] for e in first] != [e[0] for e in second]:
            raise Failure(f"other ids: {[(i, e['type']) for i, e in first]} and "
                          f"{[(i, e['type']) for i, e in second]}")
        for (event_id, a), (_, b) in zip(first, second):
            if a != b:
                raise Failure(f"{event_id} differs: {short(a)} and {short(b)}")

    def do_run(self, step):
        name, variable, value = re.fullmatch(r"(.*?)(?: with (\w+)=(.*))?", step.argument).groups()
        if variable:
            self.variables[variable] = substitute(value, self.variables)
        if name.strip() not in self.procedures:
            raise BadFile(f"no procedure is called '{name.strip()}'")
        self.play(self.procedures[name.strip()].steps)

    # Pieces of them.

    def open(self, step, line):
        method, path = substitute(line, self.variables).split(" ", 1)
        headers = {}
        for name, value in step.headers:
            headers.setdefault(name, []).append(substitute(value, self.variables))
        body = self.body(step)
        names = {name.lower() for name in headers}
        if body is not None and "content-type" not in names:
            headers["Content-Type"] = ["application/json"]
        if "authorization" not in names:
            headers["Authorization"] = ["Bearer " + self.settings.token]
        if headers.get("Authorization") == ["-"]:
            del headers["Authorization"]
        base = self.settings.base
        connection = http.client.HTTPConnection(base.hostname, base.port,
                                                timeout=self.settings.timeout + 30)
        self.log.append(f"{method} {path}" + (f"  {body[:400]!r}" if body else ""))
        connection.putrequest(method, base.path.rstrip("/") + path, skip_accept_encoding=True)
        for name, values in headers.items():
            for value in values:
                connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        elif method in ("POST", "PUT", "PATCH"):
            connection.putheader("Content-Length", "0")
        try:
            connection.endheaders(body)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the server has answered before it read everything
        return connection, connection.getresponse()

    def body(self, step):
        if step.body is None:
            return None
        if step.raw:
            text = step.body.encode("utf-8")
            return re.sub(rb"\\(x[0-9a-fA-F]{2}|n|\\)", unescape, text)
        return substitute(step.body, self.variables).encode("utf-8")

    def send(self, step, line):
        connection, response = self.open(step, line)
        body = response.read()
        connection.close()
        self.log.append(f"  → {response.status} {body[:600].decode('utf-8', 'replace')}")
        return response, body

    def check(self, step, response, body):
        if step.status is not None and response.status != step.status:
            raise Failure(f"expected status {step.status}, got {response.status}: "
                          f"{body[:500].decode('utf-8', 'replace')}")
        self.check_headers(step, response)
        if step.expected_body is None:
            return
        if step.expected_body.strip() == "-":
            if body:
                raise Failure(f"expected an empty body, got {body[:500]!r}")
            return
        try:
            actual = json.loads(body)
        except ValueError:
            raise Failure(f"the body is not JSON: {body[:500]!r}") from None
        match(parse_expected(step.expected_body, step.where), actual, self.variables)

    def check_headers(self, step, response):
        for text in step.expected_headers:
            if text.startswith("!"):
                if response.getheader(text[1:]) is not None:
                    raise Failure(f"there must be no header {text[1:]}")
                continue
            name, wanted = (part.strip() for part in text.split(":", 1))
            value = response.getheader(name)
            expression = re.escape(substitute(wanted, self.variables)).replace(r"\*", ".*")
            if value is None or not re.fullmatch(expression, value):
                raise Failure(f"header {name}: expected {wanted}, got {value}")

    def take(self, stream, text, deadline, skip):
        """Takes what one expectation describes; True if any events may follow."""
        if text == "...":
            return True
        if text == "end":
            while True:
                event = stream.next(deadline)
                if event[0] == "end":
                    return False
                if not skip:
                    raise Failure(f"the stream went on with {event[2]['type']}")
        head, _, pattern = text.partition(" {")
        type_name, *flags = head.split()
        expected = parse_expected("{" + pattern, "here") if pattern else None
        many = "*" in flags or "+" in flags
        count = 0
        while True:
            event = stream.next(deadline)
            if event[0] == "event" and event[2]["type"] == type_name:
                try:
                    self.check_event(event, flags, expected)
                except Failure:
                    if not skip:
                        raise
                    continue
                count += 1
                if not many:
                    return False
                continue
            if many and (count or "*" in flags):
                stream.pending.insert(0, event)
                return False
            if not skip:
                got = event[2] if event[0] == "event" else "the end of the stream"
                raise Failure(f"got {short(got)}")
            if event[0] == "end":
                raise Failure("the stream ended")

    def check_event(self, event, flags, expected):
        _, event_id, payload = event
        if "!id" in flags and event_id:
            raise Failure(f"it must have no SSE id, but has {event_id}")
        if expected is not None:
            match(expected, payload, self.variables, payload["type"])
        for flag in flags:
            if flag.startswith("#"):
                if not event_id:
                    raise Failure("it has no SSE id")
                self.variables[flag[1:]] = event_id


def unescape(found):
    code = found.group(1)
    return {b"n": b"\n", b"\\": b"\\"}.get(code) or bytes([int(code[1:], 16)])


# --- fields.json ---------------------------------------------------------------------------------


def set_path(document, path, value):
    keys = re.findall(r"[^.\[\]]+|\[\d+\]", path)
    target = document
    for index, key in enumerate(keys):
        last = index + 1 == len(keys)
        if key.startswith("["):
            position = int(key[1:-1])
            while len(target) <= position:
                target.append({})
            key = position
        if last:
            target[key] = value
        elif isinstance(target, list):
            target = target[key]
        else:
            follows = keys[index + 1]
            target = target.setdefault(key, [] if follows.startswith("[") else {})
            continue


def field_cases(path, known_names):
    table = json.loads(path.read_text(encoding="utf-8"))
    cases = []
    for field in table["fields"]:
        name = f"{field['request']}: {field['path']}"
        if not field.keys() & {"honoured", "refused"}:
            raise BadFile(f"{path.name}: {name} is neither honoured nor refused")
        if "honoured" in field and field["honoured"] not in known_names:
            raise BadFile(f"{path.name}: {name}: no case is called '{field['honoured']}'")
        accepted = field.get("accepted", [])
        accepted = ([field["value"]] if "value" in field else []) + accepted
        for value in accepted:
            cases.append(field_case(table, field, path, f"{name} = {short(value)} is taken", value, True))
        for value in field.get("refused", []):
            cases.append(field_case(table, field, path, f"{name} = {short(value)} is refused", value, False))
    return cases


def field_case(table, field, path, name, value, accepted):
    """The request with one member set: taken as usual, or refused with the member's name."""
    request = table["requests"][field["request"]]
    case = Case(name, path)
    for procedure in request.get("before", []):
        case.steps.append(Step("run", procedure, path.name))
    line, step = request["line"], Step("request", "", path.name)
    if "bodies" in request:
        body = copy.deepcopy(request["bodies"][field.get("body", "default")])
        for key, other in field.get("with", {}).items():
            set_path(body, key, other)
        if field.get("header"):
            step.headers.append((field["path"], value))
        else:
            set_path(body, field["path"], value)
        step.body = json.dumps(body)
    else:
        line += "?" + urllib.parse.urlencode({field["path"]: value})
    step.argument = line
    if accepted:
        step.status = request["status"]
        if request.get("stream"):
            step.kind, step.argument = "stream", "s " + line
    else:
        step.status = 400
        step.expected_body = json.dumps({"error": {
            "type": "invalid_request_error", "code": "invalid_request_error",
            "message": "{{~ is not supported yet\\.$}}", "param": field.get("param", field["path"])}})
    case.steps.append(step)
    return case


# --- running -------------------------------------------------------------------------------------


def run_case(case, procedures, settings):
    player = Player(settings, procedures)
    try:
        player.play(case.steps)
        return None, player.log
    except (Failure, BadFile) as error:
        return str(error), player.log
    except Exception:  # a mistake of this program is a failed case, not a lost run
        return traceback.format_exc(), player.log
    finally:
        player.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base-url", default="http://127.0.0.1:8787")
    parser.add_argument("--token", default="conformance")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--jobs", type=int, default=8)
    parser.add_argument("--timeout", type=float, default=15, help="seconds to wait for an event")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("files", nargs="*", help="files or folders below this one")
    settings = parser.parse_args()
    settings.base = urllib.parse.urlsplit(settings.base_url)

    wanted = [HERE / name for name in settings.files] or [HERE]
    cases, procedures, tables, names = [], {}, [], set()
    try:
        for path in sorted(HERE.rglob("*.http")):
            found, more = read_file(path)
            procedures.update(more)
            names.update(case.name for case in found)
            if any(path == want or want in path.parents for want in wanted):
                cases += found
        for path in sorted(HERE.rglob("fields.json")):
            found = field_cases(path, names)
            if any(path == want or want in path.parents for want in wanted):
                cases += found
    except BadFile as error:
        print(error, file=sys.stderr)
        return 2
    cases = [case for case in cases if settings.only.lower() in case.name.lower()]
    if settings.list:
        for case in cases:
            print(f"{case.path.relative_to(HERE)}: {case.name}")
        return 0
    if not cases:
        print("no case matches", file=sys.stderr)
        return 2
    try:
        http.client.HTTPConnection(settings.base.hostname, settings.base.port, timeout=10).connect()
    except OSError as error:
        print(f"{settings.base_url}: {error}", file=sys.stderr)
        return 2

    failed = 0
    with concurrent.futures.ThreadPoolExecutor(settings.jobs) as pool:
        results = [(case, pool.submit(run_case, case, procedures, settings)) for case in cases]
        for case, result in results:
            error, log = result.result()
            where = case.path.relative_to(HERE)
            print(f"{'ok    ' if error is None else 'FAILED'} {where}: {case.name}", flush=True)
            if error is not None:
                failed += 1
                for line in log:
                    print(f"         {line}")
                print(f"         {error}")
                print(f"         alone: {sys.argv[0]} --base-url {settings.base_url} "
                      f"{where} --only {json.dumps(case.name, ensure_ascii=False)}")
    print(f"{len(cases) - failed} of {len(cases)} cases passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
