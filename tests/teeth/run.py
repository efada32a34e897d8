#!/usr/bin/env python3
"""Do the tests have teeth? Each planted bug must be caught, by the test named here.

A build with PERDURE_PLANTED_BUGS misbehaves in one way when the environment variable PERDURE_BUG
names it (src/base/planted_bug.h). For each bug the named test is run twice: without it, where it must
pass, and with it, where it must fail. A bug that nothing catches is a hole in the tests; a test that
fails without the bug proves nothing.

    run.py --build build/asan --shims build/release [BUG…]
"""

import argparse
import collections
import concurrent.futures
import glob
import os
import subprocess
import sys

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
Bug = collections.namedtuple("Bug", "name what test command")


def bugs(build, shims):
    def program(name):
        found = glob.glob(f"{build}/**/{name}", recursive=True)
        return found[0] if found else name

    def shim(name):
        found = glob.glob(f"{shims}/**/{name}", recursive=True)
        return found[0] if found else name

    python = sys.executable
    money = [python, f"{ROOT}/tests/crash/money.py", "--binary", f"{build}/perdure", "--kills", "1", "--seed", "1"]
    return [
        Bug("ack-before-commit", "an append is acknowledged before it is on disk",
            "tests/gate/run.py (the output gate)",
            [python, f"{ROOT}/tests/gate/run.py", "--binary", f"{build}/perdure",
             "--shim", shim("gate_shim.so")]),
        Bug("skip-epoch-check", "a writer that lost its session may still write",
            "journal_test *Epoch*",
            [program("journal_test"), "--gtest_filter=*Epoch*:*Fence*:*Older*"]),
        Bug("weak-sync", "commits are not flushed",
            "tests/power_loss/sweep.py (power lost at every write)",
            [python, f"{ROOT}/tests/power_loss/sweep.py", "--shim", shim("power_loss_shim.so"),
             "--writer", shim("journal_writer"), "--seconds", "20", "--modes", "power"]),
        Bug("repeat-opaque", "an opaque effect is repeated after a crash",
            "engine_test AnOpaqueEffectIsNeverRepeated",
            [program("engine_test"), "--gtest_filter=*AnOpaqueEffectIsNeverRepeated*"]),
        Bug("repeat-opaque", "an opaque call of an MCP server's tool is repeated after a crash",
            "tests/crash/sweep.py --scenario mcp (killed while the calls are answered)",
            [python, f"{ROOT}/tests/crash/sweep.py", "--binary", f"{build}/perdure",
             "--scenario", "mcp", "--modes", "hold"]),
        Bug("lost-timer", "a durable timer is not stored",
            "engine_test AFailedModelCallIsRetriedByADurableTimer",
            [program("engine_test"), "--gtest_filter=*AFailedModelCallIsRetriedByADurableTimer*"]),
        Bug("skip-settlement", "what a call has cost is not charged, and what was put aside not given back",
            "engine_test ACrashAfterAnyCommitChargesEveryCallOnce",
            [program("engine_test"), "--gtest_filter=*ACrashAfterAnyCommitChargesEveryCallOnce*"]),
        Bug("migrate-loses-table", "a migration forgets a table, in the copy and in the comparison",
            "journal_test MovesEverythingThereAndBack",
            [program("journal_test"), "--gtest_filter=*MovesEverythingThereAndBack*"]),
        Bug("migrate-unmarks-early", "a migration ends in the target before it marks the source",
            "journal_test DyingAtAnyCommitLosesNothingAndTheSameAgainEndsIt",
            [program("journal_test"), "--gtest_filter=*DyingAtAnyCommitLosesNothing*"]),
        Bug("settle-twice", "a call is charged twice",
            "engine_test ACrashAfterAnyCommitChargesEveryCallOnce",
            [program("engine_test"), "--gtest_filter=*ACrashAfterAnyCommitChargesEveryCallOnce*"]),
        Bug("skip-settlement", "the books do not say what calls have cost",
            "tests/crash/money.py (killed among calls that are paid)", money),
        Bug("settle-twice", "the books say twice what a call has cost",
            "tests/crash/money.py (killed among calls that are paid)", money),
        Bug("search-keeps-deleted", "words of a deleted session stay in the search index",
            "journal_test ADeletedSessionIsGoneAtOnceAndForGood",
            [program("journal_test"), "--gtest_filter=*ADeletedSessionIsGoneAtOnceAndForGood*sqlite"]),
        Bug("search-ignores-members", "a search forgets that workstreams have members",
            "journal_test WhatIsInAClosedWorkstreamIsItsMembersAlone",
            [program("journal_test"), "--gtest_filter=*WhatIsInAClosedWorkstreamIsItsMembersAlone*sqlite"]),
        Bug("search-ignores-members", "a session finds what its maker may not see",
            "tests/e2e/workstreams_test.py (three keys)",
            ["env", f"PERDURE_BINARY={build}/perdure", python, f"{ROOT}/tests/e2e/workstreams_test.py"]),
        Bug("call-under-stop", "a model call is started though a stop has come while its intent was written",
            "engine_test ACallWhoseIntentIsOnItsWayToTheDiskIsNotMade",
            [program("engine_test"), "--gtest_filter=*ACallWhoseIntentIsOnItsWayToTheDiskIsNotMade*"]),
        Bug("update-running-call", "an update of the tools changes what a call that runs was offered",
            "engine_test ACallThatRunsMeansTheToolsThatItWasOffered",
            [program("engine_test"), "--gtest_filter=*ACallThatRunsMeansTheToolsThatItWasOffered*"]),
        Bug("update-running-call", "an update of the tools changes what a call that waits for a pool is offered",
            "engine_test ACallThatWaitsForAPoolIsOfferedTheToolsItWasMadeWith",
            [program("engine_test"), "--gtest_filter=*ACallThatWaitsForAPoolIsOfferedTheToolsItWasMadeWith*"]),
    ]


def run(bug, planted):
    environment = dict(os.environ, ASAN_OPTIONS="verify_asan_link_order=0:detect_leaks=0")
    environment.pop("PERDURE_BUG", None)
    command = list(bug.command)
    if planted:
        environment["PERDURE_BUG"] = bug.name
        if bug.name == "weak-sync":  # the writer with the bugs compiled in
            command = [part.replace("journal_writer", "journal_writer_planted")
                       if part.endswith("/journal_writer") else part for part in command]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False,
                            timeout=600)
    return result.returncode == 0, result.stdout + result.stderr


def judge(bug):
    """(whether the bug was caught by a test that passes without it, what to say)"""
    clean, output = run(bug, planted=False)
    if clean:
        passes, output = run(bug, planted=True)
    good = clean and not passes
    verdict = "caught by" if good else "NOT caught by" if clean else "fails without the bug:"
    said = f"{'ok    ' if good else 'FAILED'} {bug.name} ({bug.what}): {verdict} {bug.test}"
    return good, said if good else "\n".join([said, *output.splitlines()[-30:]])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True, help="a build with the planted bugs")
    parser.add_argument("--shims", required=True, help="a build without sanitizers, for the shims")
    parser.add_argument("only", nargs="*")
    options = parser.parse_args()
    wanted = [bug for bug in bugs(os.path.realpath(options.build), os.path.realpath(options.shims))
              if not options.only or bug.name in options.only]
    passed = failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as workers:
        for good, said in workers.map(judge, wanted):
            print(said, flush=True)
            passed, failed = passed + good, failed + (not good)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
