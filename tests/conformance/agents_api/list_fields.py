#!/usr/bin/env python3
"""Compares fields.json with the request types of an unpacked npm package `openai`.

    list_fields.py node_modules/openai            what fields.json lacks, or has too much
    list_fields.py node_modules/openai --print    every member's path

Exit code 0 when they agree. Raise the version in tests/e2e/package.json, run this, and decide about
every new member.
"""

import json
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
TYPES = [
    "resources/beta/agents/agents.d.ts",
    "resources/beta/agents/sessions/sessions.d.ts",
    "resources/beta/agents/sessions/events.d.ts",
    "resources/beta/agents/sessions/items.d.ts",
    "resources/beta/agents/sessions/turns/turns.d.ts",
    "resources/beta/agents/sessions/turns/items.d.ts",
    "core/pagination.d.ts",
]
# The request of fields.json, and the types that make it up.
REQUESTS = {
    "create agent": "agents:AgentCreateParams",
    "update agent": "agents:AgentUpdateParams",
    "list agents": "agents:AgentListParams",
    "create session": "sessions:SessionCreateParamsBase",
    "update session": "sessions:SessionUpdateParams",
    "send events": "events:EventCreateParams",
    "list sessions": "sessions:SessionListParams",
    "stream events": "events:EventStreamParams",
    "list items": "items:ItemListParams",
    "list turns": "turns:TurnListParams",
    "list turn items": "turns/items:ItemListParams",
}
# Below these the members are refused as a whole, by their `type`.
OPAQUE = {
    "EnvironmentParamOpenAIHosted", "EnvironmentParamSelfHosted", "EnvironmentParamPrewarmed",
    "AgentToolConfigParamToolSearch", "AgentToolConfigParamProgrammaticToolCalling",
    "McpTransportConfigParamStdio", "AgentToolConfigParamWebSearch", "AgentToolConfigParamComputerUse",
    "AgentToolConfigParamAutomations", "PersistedAgentToolConfigParamToolSearch",
    "PersistedAgentToolConfigParamProgrammaticToolCalling", "PersistedMcpTransportConfigParamStdio",
    "PersistedAgentToolConfigParamWebSearch", "PersistedAgentToolConfigParamComputerUse",
    "PersistedAgentToolConfigParamAutomations", "InputContentParamInputImage",
    "SessionInputParamAgentSessionInputMcpApprovalRequestResult",
    "SessionInputParamAgentSessionInputComputerUseApprovalRequestResult",
}
MEMBER = re.compile(r"^\s*(?:'([^']+)'|(\w+))\??:\s*(.*?);?\s*$")


class Types:
    """The interfaces and type aliases of the files, by file and full name: `A.B` is B of namespace A."""

    def __init__(self, package):
        self.interfaces = {}
        self.aliases = {}
        for name in TYPES:
            text = (package / name).read_text(encoding="utf-8")
            text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
            self.read(text.splitlines(), pathlib.Path(name).name.removesuffix(".d.ts")
                      if "turns/items" not in name else "turns/items")

    def read(self, lines, file):
        scopes = []  # (name, is an interface, depth at which it closes)
        depth = 0
        for line in lines:
            interface = re.match(r"\s*(?:export )?(?:declare )?interface (\w+)(?:<[^>]*>)?(?: extends ([^{]+))? \{", line)
            space = re.match(r"\s*(?:export )?(?:declare )?namespace (\w+) \{", line)
            alias = re.match(r"\s*(?:export )?(?:declare )?type (\w+)(?:<[^=]*>)? = (.*?);?$", line)
            prefix = ".".join(name for name, _, _ in scopes)
            if interface:
                full = f"{prefix}.{interface.group(1)}".lstrip(".")
                members = self.interfaces.setdefault((file, full), {})
                if interface.group(2):
                    members[""] = interface.group(2).strip()
                scopes.append((interface.group(1), True, depth))
            elif space:
                scopes.append((space.group(1), False, depth))
            elif alias:
                self.aliases.setdefault((file, f"{prefix}.{alias.group(1)}".lstrip(".")), alias.group(2))
            elif scopes and scopes[-1][1] and depth == scopes[-1][2] + 1:
                member = MEMBER.match(line)
                if member:
                    self.interfaces[(file, prefix)][member.group(1) or member.group(2)] = member.group(3)
            depth += line.count("{") - line.count("}")
            while scopes and depth <= scopes[-1][2]:
                scopes.pop()

    def resolve(self, reference, file, scope):
        """(file, full name) of what `reference` means inside `scope`; None for built-in types."""
        if reference.startswith("AgentsAPI."):
            reference, file, scope = reference.removeprefix("AgentsAPI."), "agents", ""
        parts = scope.split(".") if scope else []
        for known_file in (file, "agents", "pagination"):
            for length in range(len(parts), -1, -1):
                full = ".".join(parts[:length] + [reference])
                if (known_file, full) in self.interfaces or (known_file, full) in self.aliases:
                    return known_file, full
        return None

    def members(self, key):
        members = dict(self.interfaces[key])
        for base in filter(None, members.pop("", "").split(",")):
            found = self.resolve(base.strip(), key[0], key[1].rpartition(".")[0])
            if found:
                members = {**self.members(found), **members}
        return members


def paths_of(types, key, prefix, seen):
    """The paths of an interface's members; its own namespace is the scope of their types."""
    if key in seen:
        return
    for member, kind in types.members(key).items():
        if kind.startswith("never") or member in ("toolHandlers", "session_id"):
            continue
        path = f"{prefix}.{member}" if prefix else member
        yield path
        yield from paths_of_kind(types, kind, path, key[0], key[1].rpartition(".")[0], seen | {key})


def paths_of_kind(types, kind, prefix, file, scope, seen):
    if "Array<" in kind:
        prefix += "[0]"
    for reference in re.findall(r"[A-Za-z_]\w*(?:\.\w+)*", re.sub(r"'[^']*'", "", kind)):
        if reference.split(".")[-1] in OPAQUE:
            continue
        found = types.resolve(reference, file, scope)
        if found in types.interfaces:
            yield from paths_of(types, found, prefix, seen)
        elif found in types.aliases and found not in seen:
            yield from paths_of_kind(types, types.aliases[found], prefix, found[0],
                                     found[1].rpartition(".")[0], seen | {found})


def main():
    package = pathlib.Path(sys.argv[1])
    types = Types(package)
    wanted = {(request, path) for request, name in REQUESTS.items()
              for path in paths_of(types, tuple(name.split(":")), "", frozenset())}
    if "--print" in sys.argv:
        for request, path in sorted(wanted):
            print(f"{request}: {path}")
        return 0
    table = json.loads((HERE / "fields.json").read_text(encoding="utf-8"))
    have = {(field["request"], field["path"]) for field in table["fields"]}
    extensions = {(field["request"], field["path"]) for field in table["fields"] if field.get("ours")}
    missing, surplus = sorted(wanted - have), sorted(have - wanted - extensions)
    for request, path in missing:
        print(f"fields.json lacks   {request}: {path}")
    for request, path in surplus:
        print(f"the types lack      {request}: {path}")
    version = json.loads((package / "package.json").read_text(encoding="utf-8"))["version"]
    print(f"openai {version}: {len(wanted)} members, {len(missing)} missing, {len(surplus)} surplus")
    return 1 if missing or surplus else 0


if __name__ == "__main__":
    sys.exit(main())
