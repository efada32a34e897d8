#!/usr/bin/env python3
"""The benchmarks: runs rows, prints their tables, keeps them. Called by bench.sh, which builds first."""

import argparse
import datetime
import json
import os
import shutil
import sys
import tempfile

from measure import ROOT, Measures, Tool, commit, machine
from rows import ROWS, Bench

BUILD = os.path.join(ROOT, "build", "release")
RESULTS = os.path.join(ROOT, "build", "bench", "results.json")
DOCUMENT = os.path.join(ROOT, "docs", "benchmarks.md")
BEGIN, END = "<!-- results: written by bench.sh --write -->", "<!-- end of the results -->"


def number(value):
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"


def goal(line):
    if line["goal"] is None:
        return "", ""
    return f"≤ {line['goal']:g} {line['unit']}".rstrip(), line["verdict"]


def show(name, row):
    print(f"\n{name}: {ROWS[name][2]}")
    print(f"  {'':58} {'min':>9} {'median':>9} {'max':>9}")
    for line in row["measures"]:
        wanted, verdict = goal(line)
        values = " ".join(f"{number(line[key]):>9}" for key in ("min", "median", "max"))
        print(f"  {line['name']:58} {values} {line['unit']:3} {wanted:>10} {verdict}")
    sys.stdout.flush()


def table(results):
    lines = []
    for name, (_, _, what) in ROWS.items():
        row = results.get(name)
        if row is None:
            continue
        about = row["machine"]
        lines += [f"### `{name}`: {what}", "",
                  "| | min | median | max | goal | |", "|---|--:|--:|--:|--:|---|"]
        for line in row["measures"]:
            unit = f" {line['unit']}".rstrip()
            values = " | ".join(number(line[key]) + unit for key in ("min", "median", "max"))
            lines.append(f"| {line['name']} | {values} | {' | '.join(goal(line))} |")
        rounds = max(line["rounds"] for line in row["measures"])
        lines += ["", f"{rounds} rounds{', --quick' if row['quick'] else ''} at {row['commit']}, "
                  f"{row['date']}; {about['cores']} cores ({about['cpu']}), {about['memory_gib']} GiB, Linux "
                  f"{about['kernel']}; load average {row['load_before']:.1f} before, {row['load_after']:.1f} after.", ""]
    return "\n".join(lines)


def write_document(results):
    with open(DOCUMENT, encoding="utf-8") as file:
        text = file.read()
    head, _, rest = text.partition(BEGIN)
    _, mark, tail = rest.partition(END)
    if not mark:
        raise SystemExit(f"bench: {DOCUMENT} has no place for the results")
    with open(DOCUMENT, "w", encoding="utf-8") as file:
        file.write(f"{head}{BEGIN}\n\n{table(results)}\n{mark}{tail}")


def read_results():
    try:
        with open(RESULTS, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return {}


def parse():
    parser = argparse.ArgumentParser(prog="bench.sh", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="rows to run; all without")
    parser.add_argument("--list", action="store_true", help="the rows, and their minutes")
    parser.add_argument("--quick", action="store_true", help="little of everything: to see that it works")
    parser.add_argument("--full", action="store_true", help="one million dormant sessions")
    parser.add_argument("--rounds", type=int, default=0, help="default 5, with --quick 2")
    parser.add_argument("--write", action="store_true", help="renew the tables in docs/benchmarks.md")
    arguments = parser.parse_args()
    for row in arguments.rows:
        if row not in ROWS:
            parser.error(f"'{row}' is not a row; see bench.sh --list")
    return arguments


def main():
    arguments = parse()
    if arguments.list:
        for name, (_, minutes, what) in ROWS.items():
            print(f"{name:10} {minutes:4g} min  {what}")
        return
    rounds = arguments.rounds or (2 if arguments.quick else 5)
    os.makedirs(os.path.dirname(RESULTS), exist_ok=True)
    results = read_results()
    for name in arguments.rows or ROWS:
        # Beside the build: on a disk, and on the same one for store and yardstick.
        directory = tempfile.mkdtemp(prefix="run-", dir=os.path.dirname(RESULTS))
        row = {"commit": commit(), "date": datetime.date.today().isoformat(), "machine": machine(),
               "rounds": rounds, "quick": arguments.quick, "load_before": os.getloadavg()[0]}
        bench = Bench(os.path.join(BUILD, "perdure"), Tool(os.path.join(BUILD, "bench", "perdure_bench")),
                      shutil.which("node"), directory, rounds, arguments.quick, arguments.full)
        measures = Measures()
        try:
            ROWS[name][0](bench, measures)
        finally:
            shutil.rmtree(directory, ignore_errors=True)
        row["load_after"] = os.getloadavg()[0]
        row["measures"] = measures.to_json()
        show(name, row)
        results[name] = row
        with open(RESULTS, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1, ensure_ascii=False)
    if arguments.write:
        write_document(results)


if __name__ == "__main__":
    main()
