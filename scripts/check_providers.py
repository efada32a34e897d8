#!/usr/bin/env python3
"""The table of what each kind of provider can do, and the test that shows it.

    check_providers.py TESTS       every cell of tests/conformance/providers/table.json names tests that the
                                   program TESTS (models_test) has; says what is missing
    check_providers.py --write     renews the table in docs/protocols/providers.md
    check_providers.py --check     says whether that table is the current one

A cell is a list of tests; or {"no": sentence, "tests": [...]} for what the protocol has no words, with the
tests of what is done about that; or a sentence alone for what cannot happen there. That the tests pass is
the unit tests' business; this sees that none of them is lost. `live` of a row names, by kind, the case of
tests/live/run.py that shows the same on a real engine.
"""

import importlib.util
import json
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TABLE = os.path.join(ROOT, "tests", "conformance", "providers", "table.json")
DOCUMENT = os.path.join(ROOT, "docs", "protocols", "providers.md")
BEGIN, END = "<!-- table: scripts/check_providers.py --write -->", "<!-- end of the table -->"

CANNOT = "Cannot happen: "  # begins the sentence of a cell whose protocol has no place for the fault


def read_table():
    with open(TABLE, encoding="utf-8") as file:
        return json.load(file)


def tests_of(program):
    listing = subprocess.run([program, "--gtest_list_tests"], stdout=subprocess.PIPE, text=True, check=True).stdout
    suite, names = "", set()
    for line in listing.splitlines():
        if not line.startswith(" "):
            suite = line.split()[0]
        elif suite.endswith("."):
            names.add(suite + line.split()[0])
    return names


def parts_of(cell):
    """(what it says instead of "yes" or None, its tests)."""
    if isinstance(cell, str):
        return cell, []
    return (cell["no"], cell["tests"]) if isinstance(cell, dict) else (None, cell or [])


def wrong_with(cell, known):
    """A sentence, or None where the cell is as it must be."""
    says, tests = parts_of(cell)
    lost = [name for name in tests if name not in known]
    if lost:
        return f"no test {', '.join(lost)}"
    if not tests and not says:
        return "the cell is empty"
    if not tests and not says.startswith(CANNOT):
        return f"a sentence without a test must begin with '{CANNOT.strip()}'"
    return None


def live_cases():
    """(case, kind of provider) of all that runs on a real engine."""
    path = os.path.join(ROOT, "tests", "live", "run.py")
    live = importlib.util.module_from_spec(spec := importlib.util.spec_from_file_location("live", path))
    spec.loader.exec_module(live)
    return {(name, live.PROTOCOLS[model.split("/")[0]][0]) for name, _, models in live.CASES for model in models}


def check_live(table):
    known = live_cases()
    lost = [f"{row['feature']}, {kind}: tests/live/run.py has no case '{case}' over it"
            for row in table["rows"] for kind, case in row.get("live", {}).items()
            if (case, kind) not in known or not isinstance(row["cells"][kind], list)]
    for sentence in lost:
        print(f"FAILED {sentence}")
    return not lost


def check_tests(program):
    table, known, passed, failed = read_table(), tests_of(program), 0, 0
    for row in table["rows"]:
        for kind in table["kinds"]:
            cell = row["cells"].get(kind)
            wrong = wrong_with(cell, known)
            if wrong:
                failed += 1
                print(f"FAILED {row['feature']}, {kind}: {wrong}")
            else:
                passed += 1
    failed += not check_live(table)
    print(f"{passed} passed, {failed} failed")
    return failed == 0


def document(table):
    lines = ["| | " + " | ".join(f"`{kind}`" for kind in table["kinds"]) + " |",
             "|---|" + "---|" * len(table["kinds"])]
    notes = []
    for row in table["rows"]:
        cells = []
        for kind in table["kinds"]:
            cell = row["cells"][kind]
            says, _ = parts_of(cell)
            if not says:
                cells.append("yes, live" if kind in row.get("live", {}) else "yes")
                continue
            if says not in notes:
                notes.append(says)
            cells.append(f"{'–' if says.startswith(CANNOT) else 'no'} ({notes.index(says) + 1})")
        lines.append(f"| {row['feature']} | " + " | ".join(cells) + " |")
    lines += [""] + [f"{number}. {note}" for number, note in enumerate(notes, 1)]
    return "\n".join(lines)


def halves():
    with open(DOCUMENT, encoding="utf-8") as file:
        head, begin, rest = file.read().partition(BEGIN)
    old, end, tail = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{DOCUMENT}: there is no place for the table")
    return head, old, tail


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    if not sys.argv[1].startswith("--"):
        sys.exit(0 if check_tests(sys.argv[1]) else 1)
    head, old, tail = halves()
    new = f"\n\n{document(read_table())}\n\n"
    if sys.argv[1] == "--check":
        sys.exit(None if old == new else f"{DOCUMENT} is old: scripts/check_providers.py --write")
    with open(DOCUMENT, "w", encoding="utf-8") as file:
        file.write(f"{head}{BEGIN}{new}{END}{tail}")


if __name__ == "__main__":
    main()
