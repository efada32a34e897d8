#!/usr/bin/env python3
"""Runs the simulation over many seeds on all processors, and shows that it finds planted bugs.

With `--embedded` it is one server over SQLite on a disk that fails, else many nodes over a modelled database.
A seed that fails prints itself; `simulation [--embedded] --first SEED --seeds 1 --aloud` shows what happened in it.
  python3 tests/simulation/run.py --binary build/release/tests/simulation/simulation --seeds 500
"""

import argparse
import os
import re
import subprocess
import sys

# With the seed from which on each is looked for: where it was found last, so that it takes a moment.
PLANTED_ON_DISK = {"weak-sync": 1, "ack-before-commit": 1, "trust-the-log": 21}
PLANTED = {"repeat-opaque": 1, "trust-for-ever": 21, "hand-over-early": 131, "read-ahead": 91, "trust-other-clocks": 81,
           "skip-settlement": 1}
LAST = re.compile(r"(\d+) seeds, (\d+) failed: (\d+) misfortunes, (\d+) inputs acknowledged, (\d+) model calls")


def simulate(binary, first, seeds, *flags, bug=None):
    environment = dict(os.environ)
    environment.pop("PERDURE_BUG", None)
    if bug:
        environment["PERDURE_BUG"] = bug
    return subprocess.Popen([binary, "--first", str(first), "--seeds", str(seeds), *flags], env=environment,
                            stdout=subprocess.PIPE, text=True)


def all_seeds(binary, first, seeds, *flags):
    """(passed, failed) of so many seeds, shared out among the processors."""
    shares = os.cpu_count() or 1
    runs = []
    for share in range(shares):
        count = seeds // shares + (share < seeds % shares)
        runs.append(simulate(binary, first, count, *flags))
        first += count
    totals = [0] * 5
    for run in runs:
        output = run.communicate()[0]
        found = LAST.search(output)
        sys.stdout.write("".join(line + "\n" for line in output.splitlines() if line.startswith("FAIL")))
        if not found:
            print(f"FAIL   a simulation ended with status {run.returncode}:\n{output[-2000:]}")
            return 0, seeds
        totals = [total + int(number) for total, number in zip(totals, found.groups())]
    print("{} seeds, {} failed: {} misfortunes, {} inputs acknowledged, {} model calls".format(*totals))
    return totals[0] - totals[1], totals[1]


def finds(binary, bug, first, most, *flags):
    """Whether a seed fails that does not fail without the bug."""
    for seed in range(first, first + most, 10):
        output = simulate(binary, seed, 10, *flags, bug=bug).communicate()[0]
        if match := re.search(r"FAIL   (seed \d+: .*)", output):
            print(f"ok     planted bug {bug} is found: {match.group(1)}")
            return True
    print(f"FAIL   planted bug {bug} is not found in {most} seeds")
    return False


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--planted", help="a build with planted bugs")
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=500)
    parser.add_argument("--embedded", action="store_true")
    options = parser.parse_args()
    flags = ["--embedded"] if options.embedded else []
    passed, failed = all_seeds(options.binary, options.first, options.seeds, *flags)
    again = simulate(options.binary, options.first, 10, "--twice", *flags)
    output = again.communicate()[0]
    print("ok     ten seeds run twice are the same" if again.returncode == 0 else output)
    passed, failed = passed + (again.returncode == 0), failed + (again.returncode != 0)
    if options.planted:
        for bug, first in (PLANTED_ON_DISK if options.embedded else PLANTED).items():
            found = finds(options.planted, bug, first, 200, *flags)
            passed, failed = passed + found, failed + (not found)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
