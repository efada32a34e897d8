"""A PostgreSQL of a test's own, over a Unix socket in a temporary directory. Standard library only.

As root it runs as the user `postgres`, since PostgreSQL refuses root; its directory is then one that
user can reach. Its settings are PostgreSQL's own, fsync included.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time

PROGRAMS = "/usr/lib/postgresql/15/bin/"
HANG = 120.0


def reachable_directory():
    preferred = tempfile.gettempdir()
    if os.geteuid() != 0:
        return preferred
    path = preferred
    while path != "/":
        if not os.stat(path).st_mode & 0o001:
            return "/var/tmp"
        path = os.path.dirname(path)
    return preferred


class Postgres:
    def __enter__(self):
        self.user = None
        self.directory = tempfile.mkdtemp(prefix="perdure-pg-", dir=reachable_directory())
        if os.geteuid() == 0:
            entry = pwd.getpwnam("postgres")
            self.user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
            os.chown(self.directory, entry.pw_uid, entry.pw_gid)
        self.data = os.path.join(self.directory, "data")
        self.log = open(os.path.join(self.directory, "log"), "ab")
        self.process = None
        self.prefix, self.arguments = [], ["-c", "listen_addresses="]
        subprocess.run([PROGRAMS + "initdb", "-D", self.data, "-U", "tester", "-A", "trust", "-E", "UTF8",
                        "--no-locale", "--no-sync"], check=True, cwd="/", stdout=self.log, stderr=self.log,
                       **(self.user or {}))
        self.start()
        self.sql("CREATE DATABASE perdure")
        self.url = f"postgresql://tester@/perdure?host={self.directory}"
        return self

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.crash()
        self.log.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def start(self):
        self.process = subprocess.Popen(
            [*self.prefix, PROGRAMS + "postgres", "-D", self.data, "-k", self.directory, *self.arguments,
             "-c", "recovery_init_sync_method=syncfs"],
            cwd="/", stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            **((not self.prefix and self.user) or {}))
        self.wait_until_ready()

    def wait_until_ready(self):
        end = time.monotonic() + HANG
        while time.monotonic() < end:
            ready = subprocess.run([PROGRAMS + "pg_isready", "-q", "-h", self.directory, "-d", "postgres"],
                                   check=False).returncode == 0
            if ready:
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError("PostgreSQL did not become ready")

    def crash(self):
        """As if its machine had stopped: no checkpoint, clients cut off."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait()

    def kill_a_client_process(self, chance):
        """kill -9 of a process that serves a client: PostgreSQL restarts all of them."""
        pids = self.sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'perdure'").split()
        if pids:
            os.kill(int(chance.choice(pids)), signal.SIGKILL)

    def sql(self, text):
        return self.sql_in("postgres", text)

    def sql_in(self, database, text):
        return subprocess.run([PROGRAMS + "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "tester",
                               "-h", self.directory, "-d", database, "-c", text],
                              check=True, capture_output=True, text=True).stdout
