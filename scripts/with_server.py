#!/usr/bin/env python3
"""Runs a command while a server runs, then ends the server and demands that it ended well.

    with_server.py [--flag FLAG]… [--mode dev] -- COMMAND… {url} …

The server is PERDURE_BIN or build/release/perdure, on a free port, with the scripted model and a
temporary data directory. "{url}" in the command becomes its address. Exit status: the command's, or
1 where the server did not start, died, or did not end with 0 on SIGTERM; its log is shown then.
"""

import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
PATIENCE = 60  # seconds, for the start and for the end


def url_of(server, data):
    """The address, once the server has written down where it listens."""
    deadline = time.monotonic() + PATIENCE
    while server.poll() is None and time.monotonic() < deadline:
        try:
            return json.loads((data / "server.json").read_text())["url"]
        except (FileNotFoundError, ValueError, KeyError):
            time.sleep(0.05)
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--flag", action="append", default=[], help="handed to the server")
    parser.add_argument("--mode", default="dev", choices=["dev", "serve"])
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    binary = os.environ.get("PERDURE_BIN", str(ROOT / "build/release/perdure"))

    with tempfile.TemporaryDirectory(prefix="perdure-server-") as place:
        data, log = pathlib.Path(place) / "data", pathlib.Path(place) / "log"
        environment = dict(os.environ, XDG_CONFIG_HOME=place, PERDURE_LOG_FORMAT="text")
        model = ["--provider-kind", "scripted"] if options.mode == "dev" else []
        with open(log, "w") as output:
            server = subprocess.Popen(
                [binary, options.mode, "--listen", "127.0.0.1:0", "--data-dir", str(data), *model,
                 *options.flag],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, cwd=place)
        status = 1
        try:
            url = url_of(server, data)
            if url is None:
                print("the server did not start", file=sys.stderr)
            else:
                command = [word.replace("{url}", url) for word in options.command]
                status = subprocess.run(command).returncode
        finally:
            alive = server.poll() is None
            if alive:
                server.send_signal(signal.SIGTERM)
            try:
                ended = server.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                server.kill()
                ended = server.wait()
            if not alive or ended != 0:
                what = "died" if not alive else "did not end well"
                print(f"the server {what}: status {ended}; the end of its log:", file=sys.stderr)
                print(*log.read_text(errors="replace").splitlines()[-60:], sep="\n",
                      file=sys.stderr)
                status = status or 1
    return status


if __name__ == "__main__":
    sys.exit(main())
