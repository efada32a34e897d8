#!/usr/bin/env python3
"""Loses power at every point of a writer's life and checks what is left.

For each chosen point, seed and mode: run the writer under the shim until it dies there, open what
is left with the real journal, and demand that every acknowledged write is there, whole. Then the
same with planted bugs, which must be found: a sweep that cannot fail shows nothing.

    sweep.py --shim power_loss_shim.so --writer journal_writer [--planted journal_writer_planted]
             [--stride 1 --offset 0 --seeds 3] [--seconds 40] [--modes kill,torn,power]

With --seconds the runs are taken in an order shuffled by --order, until the time is over; without
it every one is made. A failure prints the command lines that show it again.
"""

import argparse
import collections
import concurrent.futures
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

Run = collections.namedtuple("Run", "mode point seed")


class Sweep:
    def __init__(self, shim, writer, bug=""):
        self.shim = os.path.realpath(shim)
        self.writer = os.path.realpath(writer)
        self.bug = bug

    def environment(self, directory, run, report=""):
        environment = dict(os.environ)
        environment.update(
            LD_PRELOAD=self.shim,
            POWER_LOSS_UNDER=directory,
            POWER_LOSS_MODE=run.mode,
            POWER_LOSS_AT=str(run.point),
            POWER_LOSS_SEED=str(run.seed),
        )
        if report:
            environment["POWER_LOSS_REPORT"] = report
        if self.bug:
            environment["PERDURE_BUG"] = self.bug
        return environment

    def count_points(self):
        """How many points a whole life has."""
        with scratch() as place:
            report = os.path.join(place, "points")
            result = subprocess.run(
                [self.writer, "write", os.path.join(place, "data")],
                env=self.environment(place, Run("power", 0, 1), report),
                stdout=subprocess.DEVNULL,
            )
            if result.returncode != 0:
                sys.exit(f"the writer fails without any fault: status {result.returncode}")
            with open(report) as file:
                return int(file.read())

    def check(self, run):
        """(died at the point, what is wrong)"""
        with scratch() as place:
            os.mkdir(os.path.join(place, "disk"))
            data = os.path.join(place, "disk", "data")
            acks = os.path.join(place, "acks")
            with open(acks, "wb") as file:
                # A pipe, so that what was acknowledged is ours whatever happens to the disk.
                writer = subprocess.run(
                    [self.writer, "write", data],
                    env=self.environment(os.path.join(place, "disk"), run),
                    stdout=subprocess.PIPE,
                )
                file.write(writer.stdout)
            if writer.returncode not in (0, 137):
                return False, f"the writer ended with status {writer.returncode}"
            checker = subprocess.run(
                [self.writer, "check", data, acks],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            wrong = checker.stdout.strip()
            if checker.returncode != 0 and not wrong:
                wrong = f"the check ended with status {checker.returncode}"
            return writer.returncode == 137, wrong if checker.returncode != 0 else ""

    def run(self, runs, seconds, jobs, stop_at_first=False):
        """Counts by mode, and the failures."""
        end = time.monotonic() + seconds if seconds else None
        counts, died, failures = collections.Counter(), collections.Counter(), []

        def one(run):
            if (end and time.monotonic() > end) or (stop_at_first and failures):
                return
            crashed, wrong = self.check(run)
            counts[run.mode] += 1
            died[run.mode] += crashed
            if wrong:
                failures.append((run, wrong))

        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            for future in [pool.submit(one, run) for run in runs]:
                future.result()
        return counts, died, failures


class scratch:
    """A directory in memory where there is one: the model never needs the real disk."""

    def __enter__(self):
        base = os.environ.get("PERDURE_SHM")  # of ./test.sh, which clears it away whatever happens
        if not base and os.access("/dev/shm", os.W_OK):
            base = "/dev/shm"
        self.path = os.path.realpath(tempfile.mkdtemp(prefix="perdure-power-loss-", dir=base))
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)


def plan(points, modes, stride, offset, seeds, order):
    runs = []
    for point in range(1 + offset, points + 1, stride):
        for mode in modes:
            for seed in range(1, (seeds if mode == "power" else 1) + 1):
                runs.append(Run(mode, point, seed))
    if order:
        random.Random(order).shuffle(runs)
    return runs


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--shim", required=True)
    parser.add_argument("--writer", required=True)
    parser.add_argument("--planted", help="the writer with planted bugs")
    parser.add_argument("--modes", default="kill,torn,power")
    parser.add_argument("--stride", type=int, default=1)
    parser.add_argument("--offset", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--order", type=int, default=None)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    order = options.order
    if order is None:
        order = random.SystemRandom().randrange(1, 1 << 30) if options.seconds else 0

    sweep = Sweep(options.shim, options.writer)
    points = sweep.count_points()
    modes = options.modes.split(",")
    runs = plan(points, modes, options.stride, options.offset, options.seeds, order)
    print(f"{points} points, {len(runs)} runs planned, order {order}")
    counts, died, failures = sweep.run(runs, options.seconds, options.jobs)
    for mode in modes:
        print(f"  {mode}: {counts[mode]} runs, {died[mode]} died at their point")
        if counts[mode] and not died[mode]:
            failures.append((Run(mode, 0, 0), "no run died: the shim does not work"))
    for run, wrong in failures[:10]:
        print(f"FAILED {run.mode} at point {run.point}, seed {run.seed}:\n{wrong}")
        print(
            f"  again: {sys.argv[0]} --shim {options.shim} --writer {options.writer} "
            f"--modes {run.mode} --offset {run.point - 1} --stride {points} --seeds {run.seed}"
        )
    print(f"{sum(counts.values())} of {len(runs)} runs, {len(failures)} failures")

    toothless = []
    if options.planted:
        for bug, mode in (("weak-sync", "power"), ("ack-before-commit", "kill")):
            planted = Sweep(options.shim, options.planted, bug)
            bug_runs = plan(planted.count_points(), [mode], 1, 0, 1, order or 1)
            counts, _, found = planted.run(bug_runs, options.seconds or 60, options.jobs, True)
            lost = [wrong for _, wrong in found if "LOST" in wrong]
            print(f"planted bug {bug}: {'found' if lost else 'NOT FOUND'} in {counts[mode]} runs")
            if not lost:
                toothless.append(bug)
    sys.exit(1 if failures or toothless else 0)


if __name__ == "__main__":
    main()
