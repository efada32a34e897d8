#!/usr/bin/env python3
"""Checks that what the documents point at exists.

In every Markdown file of the tree: relative links and their anchors. In those that describe the code:
paths of ours in `code`. In code blocks and `code`: programs (./test.sh, scripts/…), stages of test.sh,
cmake presets, and the commands and flags of perdure. Prints "N passed, N failed" at the end.
"""

import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
SKIPPED = {"build", "node_modules", ".git", ".cache"}

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.S | re.M)
CODE = re.compile(r"`([^`\n]+)`")
OUR_PATH = re.compile(r"^(?:\./)?((?:src|cli|docs|scripts|tests|fuzz|bench|cmake|examples|packaging|\.ci)/[\w./-]+)$")
PROGRAM = re.compile(r"(?:^|[\s;&(])((?:\./|scripts/|tests/|build/release/)[\w./-]+)((?: +[^\s;&|#()]+)*)", re.M)
PERDURE = re.compile(r"(?:^|[\s/`$(])perdure((?: +[a-z][a-z-]*| +--[a-z-]+)+)", re.M)


def documents():
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.md"], cwd=ROOT,
                            capture_output=True, text=True)
    names = listed.stdout.split("\n") if listed.returncode == 0 else [
        path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.md")
        if not SKIPPED & set(path.relative_to(ROOT).parts)]
    return [ROOT / name for name in sorted(filter(None, names)) if (ROOT / name).exists()]


def anchors_of(text):
    headings = re.findall(r"^#+ +(.+?)\s*$", FENCE.sub("", text), re.M)
    return {re.sub(r"[^\w\- ]", "", re.sub(r"`", "", heading).lower()).replace(" ", "-")
            for heading in headings}


def commands_of_the_cli():
    """{command: flags}, from the source of the command line."""
    text = "".join(file.read_text() for file in sorted((ROOT / "cli").glob("*.cc")))
    words = set(re.findall(r'add_subcommand\(\s*"([a-z-]+)"', text))
    flags = set(re.findall(r'add_(?:option|flag)\(\s*"(--[a-z-]+)"', text))
    return words, flags | {"--help", "--version"}


class Check:
    def __init__(self):
        self.right, self.problems = 0, []
        self.words, self.flags = commands_of_the_cli()
        self.stages = {line.split()[0] for line in subprocess.run(
            ["bash", str(ROOT / "test.sh"), "--list"], capture_output=True, text=True).stdout.splitlines()}
        presets = json.loads((ROOT / "CMakePresets.json").read_text())["configurePresets"]
        self.presets = {preset["name"] for preset in presets if not preset.get("hidden")}

    def expect(self, true, document, sentence):
        if true:
            self.right += 1
        else:
            self.problems.append(f"FAILED {document.relative_to(ROOT)}: {sentence}")

    def check(self, document):
        text = document.read_text()
        prose = FENCE.sub("", text)
        for target in LINK.findall(CODE.sub("", prose)):
            self.check_link(document, text, target)
        codes = CODE.findall(prose)
        for code in codes:
            if match := OUR_PATH.match(code):
                if "*" not in code and "<" not in code and not self.is_made(match.group(1)):
                    self.expect((ROOT / match.group(1)).exists(), document, f"there is no {code}")
        for code in [*codes, *FENCE.findall(text)]:
            self.check_commands(document, code)

    @staticmethod
    def is_made(path):
        return path.startswith("build/") or "node_modules" in path

    def check_link(self, document, text, target):
        if re.match(r"[a-z]+:", target):
            return
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        self.expect(file.exists(), document, f"the link {target} leads nowhere")
        if anchor and file.suffix == ".md" and file.exists():
            self.expect(anchor in anchors_of(file.read_text()), document, f"{target}: no such heading")

    def check_commands(self, document, code):
        code = re.sub(r"(?:^|\s)#.*", "", code)  # a shell's comments
        for program, arguments in PROGRAM.findall(code):
            if program.startswith("build/") or not re.search(r"\w", program):
                continue
            file = (ROOT / program)
            beside = document.parent / program  # a README's own program
            self.expect(file.exists() or beside.exists(), document, f"there is no program {program}")
            if program == "./test.sh":
                for word in arguments.split():
                    if re.fullmatch(r"[a-z0-9_]+", word):
                        self.expect(word in self.stages, document, f"test.sh has no stage {word}")
        for preset in re.findall(r"--preset[ =]([a-z]+)", code):
            self.expect(preset in self.presets, document, f"there is no preset {preset}")
        for arguments in PERDURE.findall(code):
            words = arguments.split()
            if words[0] not in self.words and not words[0].startswith("--"):
                # In prose the name is followed by all sorts of words; alone in `code` by a command.
                self.expect(not code.startswith("perdure "), document,
                            f"perdure has no command {words[0]}")
                continue
            if words[0] in ("keys", "sessions") and len(words) > 1 and words[1][0] != "-":
                self.expect(words[1] in self.words, document,
                            f"perdure {words[0]} has no command {words[1]}")
            for flag in words:
                if flag.startswith("--"):
                    self.expect(flag in self.flags, document, f"perdure has no flag {flag}")


def main():
    check = Check()
    found = documents()
    for document in found:
        check.check(document)
    print(*check.problems, sep="\n", end="\n" if check.problems else "")
    print(f"{len(found)} documents looked at", file=sys.stderr)
    print(f"{check.right} passed, {len(check.problems)} failed")
    return 1 if check.problems else 0


if __name__ == "__main__":
    sys.exit(main())
