#!/usr/bin/env python3
"""Runs the unit tests of a build directory with ctest and counts single test cases.

    unit_tests.py BUILD_DIRECTORY

Each ctest test is a GoogleTest program that writes what it did as JSON; one that dies before that is
one failed test. A failure prints how to run it alone.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

# Tests that are stages of their own.
NOT_HERE = "^power_loss$"


def programs(build):
    """{ctest name: program}; an empty name where it is not built"""
    shown = subprocess.run(["ctest", "--test-dir", build, "-E", NOT_HERE, "--show-only=json-v1"],
                           check=True, capture_output=True, text=True).stdout
    return {test["name"]: test.get("command", [""])[0] for test in json.loads(shown)["tests"]}


def main():
    build = sys.argv[1]
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    tests = programs(build)
    with tempfile.TemporaryDirectory() as results:
        environment = dict(os.environ)
        environment["ASAN_OPTIONS"] = "detect_stack_use_after_return=1:strict_string_checks=1"
        environment["UBSAN_OPTIONS"] = "print_stacktrace=1"
        environment["GTEST_COLOR"] = "no"
        # A directory: each program writes <program>.json, its own name being unique.
        environment["GTEST_OUTPUT"] = f"json:{results}/"
        status = subprocess.run(["ctest", "--test-dir", build, "-E", NOT_HERE, "-j",
                                 str(os.cpu_count() or 1), "--output-on-failure", "--timeout", "1800"],
                                env=environment).returncode
        for name, program in tests.items():
            file = pathlib.Path(results) / (pathlib.Path(program).name + ".json")
            if not file.exists():
                counts["failed"] += 1
                print(f"FAILED {name}: " + (f"it ended before it had a result; alone: {program}"
                                            if program else "it is not built"))
                continue
            for suite in json.loads(file.read_text())["testsuites"]:
                for case in suite["testsuite"]:
                    full = f"{case.get('classname', suite['name'])}.{case['name']}"
                    if case.get("failures"):
                        counts["failed"] += 1
                        print(f"FAILED {full}; alone: {program} --gtest_filter={full}")
                    elif case["status"] == "NOTRUN" or case.get("result") == "SKIPPED":
                        counts["skipped"] += 1
                    else:
                        counts["passed"] += 1
        if status != 0 and counts["failed"] == 0:
            # A leak, or a sanitizer's report after the last test.
            counts["failed"] += 1
            print(f"FAILED: ctest ended with status {status} though every case passed; "
                  f"alone: ctest --test-dir {build} --output-on-failure")
    with open(os.environ["PERDURE_RESULTS"], "a") as file:
        print(counts["passed"], counts["failed"], counts["skipped"], file=file)
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
