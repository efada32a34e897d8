"""The program as a user meets it: commands, start and end of the server, keys, files.

Runs the real binary on free ports in a directory of its own; needs nothing but Python.
  PERDURE_BIN=build/release/perdure python3 tests/e2e/cli_test.py [CliTest.test_name]
"""
import json
import os
import pathlib
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/lib"))
from perdure_test import Model  # noqa: E402

BINARY = os.environ.get("PERDURE_BIN", str(ROOT / "build/release/perdure"))
PATIENCE = 30  # seconds: how long anything may take before the test gives up


class Server:
    """A running server; ended with the test at the latest."""

    def __init__(self, test, *arguments, environment=None):
        with open(test.home / "server.log", "a") as log:
            self.process = subprocess.Popen(
                [BINARY, *arguments], stdout=subprocess.PIPE, stderr=log, text=True, cwd=test.home,
                env={**test.environment, **(environment or {})})
        test.addCleanup(self.kill)
        line = self.process.stdout.readline()
        found = re.search(r"ready at (http://\S+)", line)
        if not found:
            raise AssertionError(f"the server did not start: {line!r} "
                                 + (test.home / "server.log").read_text())
        self.printed = line  # all of it when it has ended
        self.url = found.group(1)
        deadline = time.monotonic() + PATIENCE
        while request(self.url + "/readyz")[0] != 200:
            if time.monotonic() > deadline:
                raise AssertionError("the server did not become ready")
            time.sleep(0.05)

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        self.printed += self.process.stdout.read()
        return self.process.wait(PATIENCE)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE)
        self.process.stdout.close()


def request(url, key=None, method="GET", body=None, **headers):
    """Status and text of an answer."""
    if key:
        headers["Authorization"] = "Bearer " + key
    data = None
    if body is not None:
        data = json.dumps(body).encode()
        headers.setdefault("Content-Type", "application/json")
    made = urllib.request.Request(url, data=data, method=method, headers=headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(made, timeout=PATIENCE) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


class CliTest(unittest.TestCase):
    def setUp(self):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="perdure-e2e-"))
        self.addCleanup(shutil.rmtree, self.home, True)
        self.environment = {"HOME": str(self.home), "PATH": os.environ["PATH"]}
        self.data = self.home / ".local/share/perdure"

    def run_cli(self, *arguments, status=0, environment=None):
        done = subprocess.run([BINARY, *arguments], env={**self.environment, **(environment or {})},
                              cwd=self.home, capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(done.returncode, status, done.stderr + done.stdout)
        return done

    def dev(self, *arguments, **options):
        return Server(self, "dev", "--listen", "127.0.0.1:0", "--provider-kind", "scripted",
                      *arguments, **options)

    def serve(self, *arguments, **options):
        (self.home / "perdure.toml").write_text(
            "[[provider]]\nname = 'scripted'\nkind = 'scripted'\n")
        return Server(self, "serve", "--listen", "127.0.0.1:0", *arguments, **options)

    # ---- the command line -----------------------------------------------------------------------

    def test_version_says_what_it_is(self):
        self.assertRegex(self.run_cli("version").stdout, r"^perdure \d+\.\d+\.\d+ \(commit .+\)\n$")
        version = json.loads(self.run_cli("version", "--json").stdout)
        self.assertEqual(set(version), {"version", "commit", "compiler", "build_type"})
        if "PERDURE_RESULTS" in os.environ:  # ./test.sh has just built it, and seldom configured it
            commit = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"],
                                    capture_output=True, text=True).stdout.strip()
            self.assertEqual(version["commit"], commit or "unknown")

    def test_every_command_has_help(self):
        for command in ([], ["dev"], ["serve"], ["keys"], ["keys", "create"], ["keys", "ls"],
                        ["keys", "revoke"], ["sessions"], ["sessions", "ls"], ["sessions", "show"],
                        ["sessions", "tail"], ["sessions", "cancel"],
                        ["usage"], ["budgets"], ["budgets", "ls"], ["budgets", "set"],
                        ["budgets", "rm"], ["models"], ["migrate"], ["stop"], ["stops"], ["stops", "ls"], ["stops", "lift"], ["version"]):
            help_text = self.run_cli(*command, "--help").stdout
            self.assertIn(" ".join(["Usage: perdure", *command]), help_text)
        help_text = self.run_cli("dev", "--help").stdout
        for word in ("bedrock-converse", "AWS_BEARER_TOKEN_BEDROCK", "'default'"):
            self.assertIn(word, help_text)

    def test_a_wrong_word_is_explained(self):
        done = self.run_cli("dev", "--lisen", "x", status=2)
        self.assertIn("'--lisen' is not a flag of 'perdure dev'; did you mean '--listen'?",
                      done.stderr)
        done = self.run_cli("keys", "crate", status=2)
        self.assertIn("did you mean 'create'?", done.stderr)
        self.assertIn("Usage", self.run_cli(status=2).stderr)
        self.run_cli("keys", status=2)
        self.run_cli("sessions", "ls", "--limit", "0", status=2)

    def test_a_wrong_configuration_names_file_line_and_key(self):
        (self.home / "perdure.toml").write_text("[server]\nlisten = 1\n")
        done = self.run_cli("serve", status=2)
        self.assertIn("perdure.toml:2: [server] listen must be a string", done.stderr)

    def test_wrong_words_about_money_are_named_without_a_server(self):
        budget = ("budgets", "set", "workstream", "w", "--limit")
        for command, *words in (
            ((*budget, "abc"), "--limit", "'abc'", "12.50"),
            ((*budget, "0.0000000001"), "--limit", "nine places"),
            ((*budget, "1", "--window", "week"), "--window", "'week'", "total, day, month"),
            (("budgets", "set", "session", "x", "--limit", "1"), "SCOPE", "spend_control"),
            (("budgets", "set", "planet", "x", "--limit", "1"), "SCOPE", "'planet'", "workstream"),
            (("budgets", "rm", "session", "x"), "SCOPE", "spend_control"),
            (("usage", "--from", "yesterday"), "--from", "'yesterday'", "2026-02-03"),
            (("usage", "--to", "2026-02-30"), "--to", "'2026-02-30'"),
            (("usage", "--from", "2026-02-03", "--to", "2026-02-02"), "--from", "--to"),
            (("usage", "--group-by", "cow"), "--group-by", "'cow'", "workstream"),
            (("usage", "--group-by", "day,day"), "--group-by", "twice"),
            (("usage", "--group-by", "day,"), "--group-by", "''"),
        ):
            told = self.run_cli(*command, status=2).stderr
            for word in words:
                self.assertIn(word, told.splitlines()[0], command)
        self.run_cli(*budget, "0", status=3)
        self.run_cli("usage", "--from", "2024-02-29", "--to", "2024-02-29", "--group-by",
                     "day,workstream,agent,session,model,provider", status=3)

    def test_dev_stays_on_loopback(self):
        done = self.run_cli("dev", "--listen", "0.0.0.0:0", status=2)
        self.assertIn("loopback", done.stderr)

    def test_without_a_server_the_command_says_what_to_do(self):
        for command in (["keys", "ls"], ["sessions", "ls"]):
            self.assertIn("perdure dev", self.run_cli(*command, status=3).stderr)
        done = self.run_cli("keys", "ls", "--url", "http://127.0.0.1:1", "--token", "x", status=3)
        self.assertIn("http://127.0.0.1:1", done.stderr)
        self.run_cli("keys", "ls", "--url", "http://127.0.0.1:1", status=2)

    # ---- models ---------------------------------------------------------------------------------

    def session_of(self, server, model):
        """A new session's turn when it has ended."""
        status, text = request(server.url + "/v1/agents/sessions", key="x", method="POST", body={
            "agent": {"model": model}, "environment": {"type": "none"}, "input": "Good day"})
        self.assertEqual(status, 201, text)
        path = server.url + "/v1/agents/sessions/" + json.loads(text)["id"]
        deadline = time.monotonic() + PATIENCE
        while json.loads(request(path, key="x")[1])["status"] != "idle":
            self.assertLess(time.monotonic(), deadline, "the turn did not end")
            time.sleep(0.02)
        return json.loads(request(path + "/turns", key="x")[1])["data"][0]

    def test_default_is_a_name_that_the_provider_need_not_know(self):
        model = Model(only="test")
        self.addCleanup(model.close)
        flags = ("dev", "--listen", "127.0.0.1:0", "--provider-kind", "openai-chat", "--provider-url",
                 model.url)
        server = Server(self, *flags, "--model", "test")
        self.assertEqual(self.session_of(server, "default")["status"], "completed")
        self.assertEqual(self.session_of(server, "test")["status"], "completed")
        self.assertEqual(self.session_of(server, "other")["status"], "failed")
        listed = json.loads(request(server.url + "/v1/models", key="x")[1])["data"]
        self.assertEqual([each["id"] for each in listed], ["default"])
        self.assertEqual(request(server.url + "/v1/models/default", key="x")[0], 200)
        server.end()
        self.assertIn("Clients may also call it 'default'.", server.printed)

        server = Server(self, *flags)  # nobody says what the provider has
        self.assertEqual(self.session_of(server, "default")["status"], "failed")
        self.assertEqual(json.loads(request(server.url + "/v1/models", key="x")[1])["data"], [])
        server.end()
        self.assertIn("the name 'default' means nothing", server.printed)

        (self.home / "perdure.toml").write_text(
            f"[[provider]]\nname = 'p'\nkind = 'openai-chat'\nbase_url = '{model.url}'\n"
            "[[model]]\nname = 'large'\nprovider = 'p'\nupstream = 'test'\n")
        server = Server(self, "dev", "--listen", "127.0.0.1:0")
        self.assertEqual(self.session_of(server, "default")["status"], "completed")

    def test_a_flag_that_leaves_out_the_files_models_says_so(self):
        (self.home / "perdure.toml").write_text(
            "[[provider]]\nname = 's'\nkind = 'scripted'\n[[model]]\nname = 'm'\nprovider = 's'\n")
        self.dev().end()
        self.assertIn("--provider-kind takes the place of every [[provider]], [[pool]] and [[model]] in "
                      "perdure.toml", (self.home / "server.log").read_text())

    # ---- start and end --------------------------------------------------------------------------

    def test_dev_lets_a_developer_in_and_nobody_else(self):
        url = self.dev().url
        self.assertEqual(request(url + "/healthz"), (200, '{"status":"ok"}'))
        self.assertEqual(request(url + "/readyz", Host="10.2.3.4")[0], 200)  # as probes name it
        self.assertEqual(request(url + "/v1/models")[0], 401)
        self.assertEqual(request(url + "/v1/models", key="anything")[0], 200)
        self.assertEqual(request(url + "/v1/models", key="x", Host="evil.example")[0], 421)
        self.assertEqual(request(url + "/v1/models", key="x", Origin="http://evil.example")[0], 403)
        self.assertEqual(request(url + "/v1/agents/sessions", key="x", method="POST", body={},
                                 **{"Content-Type": "text/plain"})[0], 415)
        self.assertEqual(request(url + "/healthz", **{"x-perdure-hop": "1"})[0], 508)

    def test_the_documents_of_the_server_are_true(self):
        url = self.dev().url
        status, text = request(url + "/openapi.json")
        self.assertEqual(status, 200)
        paths = json.loads(text)["paths"]
        for path in ("/healthz", "/api/keys", "/v1/agents/sessions", "/openai/v1/models"):
            self.assertIn(path, paths)
        status, text = request(url + "/metrics", key="x")
        self.assertEqual(status, 200)
        for line in text.splitlines():
            self.assertRegex(line, r"^(# (HELP|TYPE) \S+ .+|[a-z_]+(\{[^}]*\})? [0-9.e+-]+)$")

    def test_ctrl_c_leaves_nothing_behind(self):
        server = self.dev()
        runtime_file = self.data / "server.json"
        self.assertEqual(stat.S_IMODE(runtime_file.stat().st_mode), 0o600)
        self.assertEqual(json.loads(runtime_file.read_text())["url"], server.url)
        self.assertEqual(server.end(signal.SIGINT), 0)
        self.assertFalse(runtime_file.exists())
        self.assertEqual(sorted(path.name for path in self.data.iterdir()),
                         ["lock", "perdure.db", "reserve"])

    def test_a_port_in_use_is_named(self):
        port = self.dev().url.rsplit(":", 1)[1]
        done = self.run_cli("dev", "--data-dir", str(self.home / "other"), "--provider-kind",
                            "scripted", "--listen", f"127.0.0.1:{port}", status=1)
        self.assertIn(f"127.0.0.1:{port}", done.stderr)
        self.assertIn("--listen 127.0.0.1:0", done.stderr)

    def test_a_data_directory_has_one_server(self):
        server = self.dev()
        done = self.run_cli("dev", "--listen", "127.0.0.1:0", status=1)
        self.assertIn(f"The data directory {self.data} is in use by process {server.process.pid}",
                      done.stderr)
        self.assertEqual(request(server.url + "/readyz")[0], 200)
        self.assertTrue((self.data / "server.json").exists(), "the refused one removed it")

    def test_its_own_address_is_no_provider(self):
        done = self.run_cli("dev", "--listen", "127.0.0.1:8799", "--provider-kind", "openai-chat",
                            "--provider-url", "http://localhost:8799/v1", status=2)
        self.assertIn("this server itself", done.stderr)

    # ---- keys -----------------------------------------------------------------------------------

    def test_keys_from_creation_to_revocation(self):
        url = self.serve().url
        self.assertEqual(request(url + "/v1/models", key="anything")[0], 401)
        done = self.run_cli("keys", "create", "--project", "team-a", "--name", "laptop")
        key = done.stdout.strip()
        self.assertRegex(key, r"^pdk_[0-9a-z]{16}_[0-9a-z]{32}$")
        self.assertIn("a new project", done.stderr)
        self.assertEqual(request(url + "/v1/models", key=key)[0], 200)
        self.assertEqual(request(url + "/api/keys", key=key)[0], 403)

        listed = json.loads(self.run_cli("keys", "ls", "--json").stdout)["data"]
        self.assertEqual([(k["project"], k["name"]) for k in listed], [("team-a", "laptop")])
        self.assertNotIn(key.rsplit("_", 1)[1], self.run_cli("keys", "ls").stdout)
        self.assertIn("laptop", self.run_cli("keys", "ls", "--project", "team-a").stdout)

        self.run_cli("keys", "revoke", listed[0]["id"])
        self.assertEqual(request(url + "/v1/models", key=key)[0], 401)
        self.assertIn("revoked", self.run_cli("keys", "ls").stdout)
        self.run_cli("keys", "revoke", "key_nobody", status=4)
        done = self.run_cli("keys", "create", "--project", "Team A", status=1)
        self.assertIn("Team A", done.stderr)

    def test_keys_outlive_the_server_and_the_operators_token_does_not(self):
        server = self.serve()
        key = self.run_cli("keys", "create").stdout.strip()
        token = json.loads((self.data / "server.json").read_text())["token"]
        self.assertEqual(request(server.url + "/api/keys", key=token)[0], 200)
        self.assertEqual(server.end(), 0)
        url = self.serve().url
        self.assertEqual(request(url + "/v1/models", key=key)[0], 200)
        self.assertEqual(request(url + "/api/keys", key=token)[0], 401)
        done = self.run_cli("keys", "ls", "--url", url, "--token", token, status=5)
        self.assertIn("not valid", done.stderr)

    # ---- secrets --------------------------------------------------------------------------------

    def test_the_master_key_is_private_and_apart_from_the_data(self):
        self.dev().end()
        master_key = self.home / ".config/perdure/master_key"
        self.assertEqual(stat.S_IMODE(master_key.stat().st_mode), 0o600)
        secret = master_key.read_text()
        self.dev().end()
        self.assertEqual(master_key.read_text(), secret, "the second start made another key")
        master_key.chmod(0o644)
        self.assertIn("chmod 600", self.run_cli("dev", "--listen", "127.0.0.1:0", status=1).stderr)

    def test_a_master_key_in_the_environment_makes_no_file(self):
        self.dev(environment={"PERDURE_MASTER_KEY": "x" * 32}).end()
        self.assertFalse((self.home / ".config/perdure").exists())
        done = self.run_cli("dev", "--listen", "127.0.0.1:0", status=2,
                            environment={"PERDURE_MASTER_KEY": "short"})
        self.assertIn("PERDURE_MASTER_KEY", done.stderr)

    # ---- sessions -------------------------------------------------------------------------------

    def test_sessions_can_be_listed_and_shown(self):
        url = self.dev().url
        self.assertIn("no sessions", self.run_cli("sessions", "ls").stdout)
        status, text = request(url + "/v1/agents/sessions", key="x", method="POST", body={
            "agent": {"model": "scripted"}, "environment": {"type": "none"}, "input": "Good day"})
        self.assertEqual(status, 201, text)
        session = json.loads(text)["id"]
        self.assertIn(session, self.run_cli("sessions", "ls").stdout)
        self.assertIn("Good day", self.run_cli("sessions", "show", session).stdout)
        shown = json.loads(self.run_cli("sessions", "show", session, "--json").stdout)
        self.assertEqual(shown["session"]["id"], session)
        self.run_cli("sessions", "show", "sess_nobody", status=4)

    def test_agents_from_creation_to_deletion(self):
        self.dev()
        self.assertIn("no saved agents", self.run_cli("agents", "ls").stdout)
        agent = self.run_cli("agents", "create", "--model", "m", "--name", "helper").stdout.strip()
        self.assertRegex(agent, r"^agent_\w{24}$")
        (self.home / "agent.json").write_text(json.dumps({"model": "m", "instructions": "Be brief."}))
        other = json.loads(self.run_cli("agents", "create", "--file", str(self.home / "agent.json"),
                                        "--name", "other", "--json").stdout)
        self.assertEqual((other["name"], other["instructions"]), ("other", "Be brief."))
        listed = self.run_cli("agents", "ls").stdout
        self.assertIn(agent, listed)
        self.assertIn("other", listed)
        self.assertIn("Be brief.", self.run_cli("agents", "show", other["id"]).stdout)
        self.assertIn("version 1", self.run_cli("agents", "show", agent, "--version", "1").stdout)
        self.assertRegex(self.run_cli("agents", "versions", agent).stdout, r"VERSION.*\n1 .*helper")
        self.run_cli("agents", "rm", agent)
        self.assertEqual(self.run_cli("agents", "show", agent, status=4).stdout, "")
        self.assertNotIn(agent, self.run_cli("agents", "ls").stdout)
        self.assertIn("--model or --file", self.run_cli("agents", "create", status=2).stderr)
        self.assertIn("cannot be read",
                      self.run_cli("agents", "create", "--file", "nowhere.json", status=2).stderr)
        self.assertIn("model", self.run_cli("agents", "create", "--model", "", status=1).stderr)

    def test_a_stop_ends_what_runs_and_survives_a_kill(self):
        script = self.home / "hang.json"
        script.write_text(json.dumps({"steps": [{"text": "I think", "after_chunks": 1, "hang": True}]}))
        server = self.dev("--script", str(script))
        status, text = request(server.url + "/v1/agents/sessions", key="x", method="POST", body={
            "agent": {"model": "scripted"}, "environment": {"type": "none"}, "input": "Go"})
        self.assertEqual(status, 201, text)
        session = json.loads(text)["id"]
        path = "/v1/agents/sessions/" + session
        made = urllib.request.Request(server.url + path + "/events",
                                      headers={"Authorization": "Bearer x"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(made, timeout=PATIENCE) as stream:
            stop = self.run_cli("stop", "session", session, "--reason", "it runs wild").stdout.strip()
            self.assertRegex(stop, r"^stop_[0-9a-z]+$")
            seen = ""
            while '"agent.session.idle"' not in seen:
                line = stream.readline().decode()
                self.assertTrue(line, "the stream ended: " + seen)
                seen += line
        self.assertIn("Stopped by an operator: it runs wild.", seen)
        self.assertIn('"agent.session.turn.failed"', seen)

        server.kill()
        server = self.dev("--script", str(script))
        listed = json.loads(self.run_cli("stops", "ls", "--json").stdout)["data"]
        self.assertEqual([(s["id"], s["target"], s["created_by"]) for s in listed],
                         [(stop, session, "operator")])
        self.assertIn("it runs wild", self.run_cli("stops", "ls").stdout)
        self.assertIn("\nperdure_stops_in_force 1\n", request(server.url + "/metrics", key="x")[1])
        message = {"events": [{"type": "agent.session.input.message", "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "Go on"}]}]}]}
        status, text = request(server.url + path + "/events", key="x", method="POST", body=message)
        self.assertEqual((status, json.loads(text)["error"]["code"]), (403, "stopped"), text)
        self.assertEqual(request(server.url + path, key="x")[0], 200)

        self.run_cli("stops", "lift", stop)
        self.assertIn("Nothing is stopped", self.run_cli("stops", "ls").stdout)
        self.assertIn("lifted", self.run_cli("stops", "ls", "--all").stdout)
        status, text = request(server.url + path + "/events", key="x", method="POST", body=message)
        self.assertEqual(status, 202, text)

    def test_a_session_can_be_followed_and_cancelled(self):
        script = self.home / "hang.json"
        script.write_text(json.dumps({"steps": [{"text": "I think", "hang": True}]}))
        server = self.dev("--script", str(script))
        status, text = request(server.url + "/v1/agents/sessions", key="x", method="POST", body={
            "agent": {"model": "scripted"}, "environment": {"type": "none"}, "input": "Go"})
        self.assertEqual(status, 201, text)
        session = json.loads(text)["id"]
        deadline = time.monotonic() + PATIENCE
        following = '\nperdure_subscribers 1\n'
        tail = subprocess.Popen([BINARY, "sessions", "tail", session], env=self.environment,
                                cwd=self.home, stdout=subprocess.PIPE, text=True)
        self.addCleanup(tail.stdout.close)
        self.addCleanup(tail.wait, PATIENCE)
        self.addCleanup(tail.kill)
        while following not in request(server.url + "/metrics", key="x")[1]:
            self.assertLess(time.monotonic(), deadline, "nobody follows")
            time.sleep(0.02)
        self.assertIn("cancelled", self.run_cli("sessions", "cancel", session).stdout)
        seen = []
        while "agent.session.idle" not in seen:
            line = tail.stdout.readline()
            self.assertTrue(line, seen)
            seen.append(line.strip())
        self.assertIn("agent.session.turn.cancelled", seen)
        for command in ("tail", "cancel"):
            self.run_cli("sessions", command, "sess_nobody", status=4)
        server.end()
        self.assertEqual(tail.wait(PATIENCE), 0, "the end of the server ends the stream in order")

    def test_money_from_a_price_to_a_budget_that_holds(self):
        (self.home / "perdure.toml").write_text(
            "[[provider]]\nname = 's'\nkind = 'scripted'\n[[model]]\nname = 'dear'\nprovider = 's'\n"
            "max_output_tokens = 1000\nprice = {input = 1000, output = 2000.5}\n")
        start = ("dev", "--listen", "127.0.0.1:0")
        server = Server(self, *start)

        def turn(session=None, **more):
            """The session when its turn has ended, and that turn."""
            body = {"agent": {"model": "dear"}, "environment": {"type": "none"}, "input": "Hello", **more}
            path = "/v1/agents/sessions"
            if session:
                body = {"events": [{"type": "agent.session.input.message",
                                    "input": [{"role": "user", "content": [
                                        {"type": "input_text", "text": "And?"}]}]}]}
                path += f"/{session}/events"
            status, text = request(server.url + path, key="x", method="POST", body=body,
                                   **{"X-Perdure-Workstream": "launch"} if not session else {})
            self.assertIn(status, (201, 202), text)
            path = "/v1/agents/sessions/" + (session or json.loads(text)["id"])
            deadline = time.monotonic() + PATIENCE
            while json.loads(request(server.url + path, key="x")[1])["status"] != "idle":
                self.assertLess(time.monotonic(), deadline, "the turn did not end")
                time.sleep(0.02)
            turns = json.loads(request(server.url + path + "/turns", key="x")[1])["data"]
            return json.loads(request(server.url + path, key="x")[1]), turns[0]

        self.assertIn("No model call", self.run_cli("usage").stdout)
        session, ended = turn(spend_control={"limit": 10_000})
        self.assertEqual(ended["status"], "completed", ended)
        cost = json.loads(self.run_cli("usage", "--group-by", "model,workstream", "--json").stdout)["data"]
        self.assertEqual([(row["model"], row["workstream"]) for row in cost], [("dear", "launch")])
        usage = session["usage"]
        nano = usage["input_tokens"] * 1_000_000 + usage["output_tokens"] * 2_000_500
        self.assertEqual(cost[0]["cost_nano"], nano)
        self.assertEqual(session["spend_control"], {"limit": 10_000, "consumed": nano // 10_000_000})
        self.assertIn("launch", self.run_cli("usage", "--group-by", "workstream").stdout)
        by_turn = json.loads(self.run_cli("sessions", "usage", session["id"], "--json").stdout)
        self.assertEqual((by_turn["spent_nano"], len(by_turn["data"])), (nano, 1))
        self.assertIn("$100.00", self.run_cli("sessions", "usage", session["id"]).stdout)
        self.run_cli("sessions", "usage", "sess_nobody", status=4)

        self.assertIn("no budgets", self.run_cli("budgets", "ls").stdout)
        self.assertIn("$0.50", self.run_cli("budgets", "set", "workstream", "launch", "--limit", "0.50",
                                            "--window", "month").stdout)
        self.assertIn("There is no such project 'nope'.",
                      self.run_cli("budgets", "set", "project", "nope", "--limit", "1", status=4).stderr)
        _, refused = turn(session["id"])
        self.assertEqual((refused["status"], refused["error"]["code"]), ("failed", "usage_limit_exceeded"))
        self.assertIn("budget of workstream 'launch' for this month", refused["error"]["message"])

        server.process.send_signal(signal.SIGKILL)
        server.process.wait(PATIENCE)
        server = Server(self, *start)
        kept = json.loads(self.run_cli("budgets", "ls", "--json").stdout)["data"][0]
        self.assertEqual((kept["spent_nano"], kept["reserved_nano"]), (nano, 0))
        _, refused = turn(session["id"])
        self.assertEqual(refused["error"]["code"], "usage_limit_exceeded")
        self.run_cli("budgets", "rm", "workstream", "launch")
        self.run_cli("budgets", "rm", "workstream", "launch", status=4)
        self.assertEqual(turn(session["id"])[1]["status"], "completed")

        status, text = request(server.url + "/v1/agents/sessions", key="x", method="POST", body={
            "agent": {"model": "dear"}, "environment": {"type": "none"}, "input": "x",
            "spend_control": {"limit": 1}})
        self.assertEqual(status, 201, text)
        self.assertIn("data", json.loads(self.run_cli("usage", "--from", "2020-01-01", "--json").stdout))
        status, text = request(server.url + "/api/usage?from=2026-02-03&to=2026-02-02", key="x")
        self.assertEqual((status, json.loads(text)["error"]["param"]), (400, "from"), text)

    def test_what_models_cost_is_shown_pool_by_pool(self):
        (self.home / "perdure.toml").write_text("""
            [[provider]]
            name = "outside"
            kind = "openai-chat"
            base_url = "http://127.0.0.1:9/v1"
            [[provider]]
            name = "scripted"
            kind = "scripted"
            [[pool]]
            name = "ours"
            provider = "outside"
            class = "reserved"
            context_window = 4096
            units = 50
            price_per_hour = "1.50"
            [[pool]]
            name = "flexible"
            provider = "outside"
            class = "flex"
            price = {input = 1.25, output = 5}
            [[model]]
            name = "big"
            pools = ["ours", "outside", "flexible"]
            context_window = 8192
            price = {input = 2.5, cached_input = 0.25, output = 10}
            [[model]]
            name = "half"
            pools = ["flexible", "outside"]
            [[model]]
            name = "demo"
            provider = "scripted"
            """)
        url = Server(self, "dev", "--listen", "127.0.0.1:0").url
        shown = self.run_cli("models").stdout
        rows = [line.split(None, 4) for line in shown.splitlines()[1:10]]
        self.assertEqual(rows, [
            ["big", "ours", "outside", "4096", "by the hour"],
            ["big", "outside", "outside", "8192", "$2.50 in, $0.25 cached, $10.00 out"],
            ["big", "flexible", "outside", "8192", "$1.25 in, $5.00 out"],
            ["default", "ours", "outside", "4096", "by the hour"],
            ["default", "outside", "outside", "8192", "$2.50 in, $0.25 cached, $10.00 out"],
            ["default", "flexible", "outside", "8192", "$1.25 in, $5.00 out"],
            ["demo", "scripted", "scripted", "unknown", "free"],
            ["half", "flexible", "outside", "unknown", "$1.25 in, $5.00 out"],
            ["half", "outside", "outside", "unknown", "no price"]], shown)
        self.assertRegex(shown, r"\(any other\) +outside +outside +unknown +no price\n")
        self.assertRegex(shown, r"\nours +50 +\$1\.50 +\$1800\.00\n")
        told = json.loads(self.run_cli("models", "--json").stdout)
        reservation = next(pool for pool in told["pools"] if pool["name"] == "ours")
        self.assertEqual([reservation[key] for key in ("units", "price_per_hour", "cost_per_day")],
                         [50, "1.50", "1800.00"])

        def limited(model):
            status, text = request(url + "/v1/agents/sessions", key="x", method="POST", body={
                "agent": {"model": model}, "environment": {"type": "none"}, "input": "Go",
                "spend_control": {"limit": 100}})
            return status, (json.loads(text)["error"] or {}).get("message")

        self.assertEqual(limited("big"), (201, None))
        self.assertEqual(limited("demo"), (201, None))
        status, message = limited("half")
        self.assertEqual(status, 400)
        self.assertIn("'half' has none in the pool 'outside'", message)

    def test_a_wrong_stop_is_explained(self):
        self.dev()
        self.run_cli("stop", "planet", "x", "--reason", "r", status=2)
        self.run_cli("stop", "session", "x", status=2)
        self.run_cli("stop", "session", "sess_nobody", "--reason", "r", status=4)
        self.assertIn("no project", self.run_cli("stop", "project", "alfa", "--reason", "r",
                                                 status=4).stderr)
        self.run_cli("stops", "lift", "stop_nobody", status=4)

    def test_a_workstreams_sessions_can_be_listed(self):
        url = self.dev().url
        body = {"agent": {"model": "scripted"}, "environment": {"type": "none"}, "input": "Hello"}
        made = {}
        for workstream in ("launch", "upkeep"):
            status, text = request(url + "/v1/agents/sessions", key="x", method="POST", body=body,
                                   **{"X-Perdure-Workstream": workstream})
            self.assertEqual(status, 201, text)
            made[workstream] = json.loads(text)["id"]
        listed = self.run_cli("sessions", "ls", "--workstream", "launch").stdout
        self.assertIn(made["launch"], listed)
        self.assertNotIn(made["upkeep"], listed)
        self.assertIn("upkeep", self.run_cli("sessions", "ls").stdout)
        self.assertIn("workstream: upkeep", self.run_cli("sessions", "show", made["upkeep"]).stdout)
        self.run_cli("sessions", "ls", "--workstream", "no spaces", status=1)


if __name__ == "__main__":
    unittest.main()
