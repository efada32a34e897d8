"""Processes and numbers of the benchmarks: start, look at, compare. Standard library only."""

import getpass
import http.client
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))
from perdure_test import Server  # noqa: E402  (found through the path above)


def cpu_seconds(pid):
    """Processor time of a process, user and system, all threads: what getrusage gives, to the ns."""
    return time.clock_gettime(~pid << 3 | 2)  # clock_getcpuclockid(3)


def resident(pid):
    """(resident, of it anonymous) bytes of a process."""
    numbers = {}
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        for line in file:
            name, _, value = line.partition(":")
            if name in ("VmRSS", "RssAnon"):
                numbers[name] = int(value.split()[0]) * 1024
    return numbers["VmRSS"], numbers["RssAnon"]


class Tool:
    """perdure_bench: each call is one command and gives what it printed."""

    def __init__(self, binary):
        self.binary = binary

    def run(self, command, **options):
        done = subprocess.run(self.words(command, options), stdout=subprocess.PIPE, check=False,
                              timeout=1800)
        if done.returncode != 0:
            raise RuntimeError(f"perdure_bench {command} failed")
        return json.loads(done.stdout)

    def start(self, command, **options):
        return subprocess.Popen(self.words(command, options), stdout=subprocess.PIPE)

    def words(self, command, options):
        words = [self.binary, command]
        for name, value in options.items():
            if value is False:
                continue
            words.append("--" + name.replace("_", "-"))
            if value is not True:
                words.append(str(value))
        return words


class Listener:
    """A child that prints its port first: the stub model, Node."""

    def __init__(self, process):
        self.process = process
        line = process.stdout.readline()
        if not line:
            raise RuntimeError("a helper did not start")
        answer = json.loads(line)
        self.port = int(answer["port"] if isinstance(answer, dict) else answer)

    @property
    def pid(self):
        return self.process.pid

    def get(self, path, method="GET"):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path)
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return answer

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class H2o:
    """h2o on one thread, giving out one file."""

    CONFIG = """num-threads: 1
user: {user}
hosts:
  default:
    listen: {{host: 127.0.0.1, port: {port}}}
    paths:
      /:
        file.file: {file}
        file.send-compressed: OFF
"""

    @staticmethod
    def program():
        return shutil.which("h2o") or shutil.which(os.path.join(ROOT, "build", "bench", "h2o", "usr", "bin", "h2o"))

    def __init__(self, directory, file):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        config = os.path.join(directory, "h2o.conf")
        with open(config, "w", encoding="ascii") as out:
            out.write(self.CONFIG.format(user=getpass.getuser(), port=self.port, file=file))
        self.log = open(os.path.join(directory, "h2o.log"), "wb")
        self.process = subprocess.Popen([self.program(), "--conf", config], stdout=self.log, stderr=self.log)
        for _ in range(500):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                time.sleep(0.01)
        raise RuntimeError("h2o did not start")

    @property
    def pid(self):
        return self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.log.close()


class Nginx:
    """nginx in one process, passing every port of `upstreams` through unbuffered, each from a port of ours."""

    CONFIG = """daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log stderr crit;
events {{ }}
http {{
  access_log off;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
{servers}
}}
"""
    SERVER = """  upstream up{upstream} {{ server 127.0.0.1:{upstream}; keepalive 8; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://up{upstream};
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}
"""

    @staticmethod
    def program():
        return shutil.which("nginx") or shutil.which(
            os.path.join(ROOT, "build", "bench", "nginx", "usr", "sbin", "nginx"))

    def __init__(self, directory, upstreams):
        self.ports = []
        servers = ""
        for upstream in upstreams:
            with socket.create_server(("127.0.0.1", 0)) as free:
                self.ports.append(free.getsockname()[1])
            servers += self.SERVER.format(upstream=upstream, port=self.ports[-1])
        config = os.path.join(directory, "nginx.conf")
        with open(config, "w", encoding="ascii") as out:
            out.write(self.CONFIG.format(directory=directory, servers=servers))
        self.process = subprocess.Popen([self.program(), "-e", "stderr", "-c", config])
        for _ in range(500):
            try:
                socket.create_connection(("127.0.0.1", self.ports[-1])).close()
                return
            except OSError:
                time.sleep(0.01)
        raise RuntimeError("nginx did not start")

    @property
    def pid(self):
        return self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


class Perdure(Server):
    """The server under test, with a model that stands at `model_port`."""

    def __init__(self, binary, directory, model_port):
        os.makedirs(directory, exist_ok=True)
        config = (f'[[provider]]\nname = "stub"\nkind = "openai-chat"\n'
                  f'base_url = "http://127.0.0.1:{model_port}/v1"\n')
        super().__init__(binary, directory, config, arguments=["--listen", "127.0.0.1:0",
                                                               "--log-level", "warn"])

    @property
    def pid(self):
        return self.process.pid

    def keep_port(self):
        """The next start listens where this one does."""
        self.arguments[1] = f"127.0.0.1:{self.port}"

    def metrics(self):
        numbers = {}
        for line in self.request("GET", "/metrics")[2].decode().splitlines():
            name, _, value = line.rpartition(" ")
            if not line.startswith("#"):
                numbers[name] = float(value)
        return numbers

    def __enter__(self):
        if self.log.closed:
            self.log = open(self.log.name, "ab")
        return self.start()

    def __exit__(self, kind, *_):
        if kind is None:
            self.stop()
        self.close()


@dataclass
class Measure:
    """One line of the table: a value per round."""

    name: str
    unit: str
    goal: float | None = None  # met when the median is not above it
    values: list = field(default_factory=list)
    note: str = ""

    def verdict(self):
        if self.goal is None:
            return ""
        return "met" if statistics.median(self.values) <= self.goal else "missed"


class Measures:
    """The lines of a row, in the order in which they first came."""

    def __init__(self):
        self.lines = {}

    def add(self, name, value, unit, goal=None, note=""):
        line = self.lines.setdefault(name, Measure(name, unit, goal, note=note))
        line.values.append(value)

    def to_json(self):
        return [{"name": line.name, "unit": line.unit, "goal": line.goal, "note": line.note,
                 "min": min(line.values), "median": statistics.median(line.values),
                 "max": max(line.values), "rounds": len(line.values), "verdict": line.verdict()}
                for line in self.lines.values()]


def machine():
    with open("/proc/meminfo", encoding="ascii") as file:
        memory = int(file.readline().split()[1]) // (1 << 20)
    model = ""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return {"cores": os.cpu_count(), "cpu": model, "memory_gib": memory, "kernel": platform.release()}


def commit():
    def git(*words):
        return subprocess.run(["git", "-C", ROOT, *words], stdout=subprocess.PIPE, text=True,
                              check=False).stdout.strip()
    dirty = git("status", "--porcelain", "--", "src", "cli", "CMakeLists.txt", "cmake")
    return git("rev-parse", "--short", "HEAD") + ("+changes" if dirty else "")
