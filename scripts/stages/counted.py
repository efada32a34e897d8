#!/usr/bin/env python3
"""Runs a test runner, shows its output as it comes, and adds its counts to the file of results.

    counted.py RESULTS COMMAND…

Understands the closing lines of our own runners ("N passed, N failed, N skipped", "N of M cases
passed"), of Python's unittest and of Node's test runner. A runner that says nothing countable, or
fails without counting a failure, counts as one failed test.
"""

import re
import shlex
import signal
import subprocess
import sys

PLAIN = re.compile(r"(?:\w+: )?(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$")
SHARE = re.compile(r"(\d+) of (\d+) cases passed$")
UNITTEST_RAN = re.compile(r"Ran (\d+) tests? in ")
UNITTEST_END = re.compile(r"(?:OK|FAILED)(?: \((.*)\))?$")
NODE = re.compile(r"(?:#|ℹ) (pass|fail|cancelled|skipped|todo) (\d+)$")


def counts_of(lines):
    """(passed, failed, skipped), or None where no line says."""
    ran, node, found = None, {}, None
    for line in lines:
        line = line.strip()
        if match := PLAIN.match(line):
            found = tuple(int(number or 0) for number in match.groups())
        elif match := SHARE.match(line):
            passed, total = map(int, match.groups())
            found = (passed, total - passed, 0)
        elif match := UNITTEST_RAN.match(line):
            ran = int(match.group(1))
        elif ran is not None and (match := UNITTEST_END.match(line)):
            words = dict(re.findall(r"(\w+)=(\d+)", match.group(1) or ""))
            bad = int(words.get("failures", 0)) + int(words.get("errors", 0))
            skipped = int(words.get("skipped", 0))
            found, ran = (max(0, ran - bad - skipped), bad, skipped), None
        elif match := NODE.match(line):
            node[match.group(1)] = int(match.group(2))
            found = (node.get("pass", 0), node.get("fail", 0) + node.get("cancelled", 0),
                     node.get("skipped", 0) + node.get("todo", 0))
    return found


def run(results, command):
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", bufsize=1) as runner:
        for line in runner.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            lines.append(line)
    counts = counts_of(lines)
    if counts is None or (runner.returncode != 0 and counts[1] == 0):
        passed, failed, skipped = counts or (0, 0, 0)
        counts = (passed, failed + 1, skipped)
        print(f"FAILED {shlex.join(command)}: status {runner.returncode}, "
              + ("no failed test counted" if passed else "no count of tests in its output"))
    with open(results, "a") as file:
        print(*counts, file=file)
    if counts[1]:
        print(f"alone: {shlex.join(command)}")
    return 1 if counts[1] else 0


def self_test():
    for text, expected in [
        ("3 passed, 1 failed", (3, 1, 0)),
        ("total: 3 passed, 0 failed, 2 skipped", (3, 0, 2)),
        ("115 of 117 cases passed", (115, 2, 0)),
        ("Ran 7 tests in 0.1s\n\nOK", (7, 0, 0)),
        ("Ran 7 tests in 0.1s\n\nFAILED (failures=1, errors=1, skipped=2)", (3, 2, 2)),
        ("# pass 4\n# fail 1\n# cancelled 1\n# skipped 1\n# todo 0", (4, 2, 1)),
        ("ℹ pass 4\nℹ fail 0", (4, 0, 0)),
        ("I passed, honestly", None),
    ]:
        assert counts_of(text.split("\n")) == expected, (text, counts_of(text.split("\n")))


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        self_test()
        sys.exit(0)
    # A Ctrl-C reaches the runner too, which cleans up and ends; we only wait for it.
    signal.signal(signal.SIGINT, lambda *_: None)
    sys.exit(run(sys.argv[1], sys.argv[2:]))
