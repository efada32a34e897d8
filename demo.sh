#!/usr/bin/env bash
# The main job, on this machine, with a real model: install what is missing, build, start
# `perdure dev`, and let the official openai SDK open a session, stream a turn, run a local function,
# lose the server to a kill -9 in the middle of a turn, and see the same turn end after a restart.
#
#   ./demo.sh              everything, from a fresh Debian 12; run it again as often as you like
#   ./demo.sh --scripted   without a real model: the built-in scripted one, which says so
#
# As root or as a user with sudo. The model: OPENAI_API_KEY if it is set; else Ollama, llama-server or
# vLLM on their usual loopback ports; else a small one installed from Python packages; else scripted.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
fail() { printf 'demo: %s\n' "$*" >&2; exit 1; }

scripted=no
case ${1:-} in
  '') ;;
  --scripted) scripted=yes ;;
  *) echo "usage: ./demo.sh [--scripted]" >&2; exit 2 ;;
esac

dir=${PERDURE_DEMO_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/perdure/demo}
mkdir -p -- "$dir"
dir=$(cd -- "$dir" && pwd)
data=$dir/data
server_log=$dir/server.log
server=
model_server=

stop() { # pid
  [[ -n $1 ]] && kill "$1" 2>/dev/null && wait "$1" 2>/dev/null
  return 0
}
leave_running=no
cleanup() {
  [[ $leave_running == yes ]] && return
  stop "$server"
  stop "$model_server"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

say 'Installing what is missing'
scripts/setup.sh build run node
# shellcheck source=/dev/null
source <(scripts/setup.sh --environment)

say 'Building (the first time takes a few minutes)'
cmake --preset release -DPERDURE_TESTS=OFF >"$dir/configure.log" 2>&1 || { cat "$dir/configure.log"; exit 1; }
cmake --build --preset release --target perdure
perdure=$PWD/build/release/perdure
"$perdure" version

say 'The official openai SDK'
cp examples/main_job/package.json examples/main_job/main_job.mjs "$dir/"
(cd "$dir" && npm install --no-audit --no-fund --loglevel=error)

free_port() {
  /usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

wait_for() { # url pid seconds
  local until=$((SECONDS + $3))
  until curl -fsS -o "$dir/ready.txt" "$1" 2>/dev/null; do
    kill -0 "$2" 2>/dev/null || return 1
    ((SECONDS < until)) || return 1
    sleep 0.2
  done
}

reachable() { curl -fsS -m 2 "http://127.0.0.1:$1/v1/models" >/dev/null 2>&1; }

say 'Choosing a model'
config=$dir/perdure.toml
: >"$config"
if [[ $scripted == yes ]]; then
  kind='the built-in SCRIPTED provider, which is not a model'
elif [[ -n ${OPENAI_API_KEY:-} ]]; then
  kind='OPENAI_API_KEY (a real key: this spends a little money)'
  PERDURE_DEMO_MODEL=${PERDURE_DEMO_MODEL:-gpt-5-mini}
elif reachable 11434 || reachable 8080 || reachable 8000; then
  kind='a model server found on loopback'
elif scripts/local_model.sh install; then
  port=$(free_port)
  PERDURE_DEMO_DIR=$dir scripts/local_model.sh serve "$port" >"$dir/model.log" 2>&1 &
  model_server=$!
  wait_for "http://127.0.0.1:$port/health" "$model_server" 120 ||
    { tail -20 "$dir/model.log" >&2; fail 'the local model did not start'; }
  PERDURE_DEMO_MODEL=$(scripts/local_model.sh name)
  kind="$PERDURE_DEMO_MODEL, a small real model on this machine"
  cat >"$config" <<TOML
[[provider]]
name = "local"
kind = "openai-chat"
base_url = "http://127.0.0.1:$port/v1"

[[model]]
name = "$PERDURE_DEMO_MODEL"
provider = "local"
upstream = "$PERDURE_DEMO_MODEL"
# Too small to decide on its own to use a tool: it calls the one that a message names, and no other.
name_tools = true
TOML
else
  scripted=yes
  kind='the built-in SCRIPTED provider, because no real model can be had here'
fi
echo "Model: $kind"
if [[ $scripted == yes ]]; then
  cat >"$config" <<TOML
[[provider]]
name = "scripted"
kind = "scripted"
script = "$dir/story.json"
TOML
  cat >"$dir/story.json" <<'JSON'
{"steps": [{"when": "short story", "times": 0, "delay_ms": 50, "text":
  "This is a script, not a model. Once a heron stood in a river and waited, as herons do, and while it waited the whole world stopped for a moment, and began again, and the heron had not lost its place."}]}
JSON
fi

start_server() {
  "$perdure" dev --config "$config" --listen "127.0.0.1:$1" --data-dir "$data" >>"$server_log" 2>&1 &
  server=$!
  wait_for "http://127.0.0.1:$1/readyz" "$server" 60 ||
    { tail -20 "$server_log" >&2; fail 'perdure did not start'; }
}

say 'Starting perdure dev'
: >"$server_log"
rm -rf -- "$data"
port=$(free_port)
start_server "$port"
grep -v '^{' "$server_log" # the log lines are JSON here

export OPENAI_BASE_URL=http://127.0.0.1:$port/v1 OPENAI_API_KEY=perdure-dev
export PERDURE_DEMO_STATE=$dir/main_job.json
export PERDURE_DEMO_MODEL=${PERDURE_DEMO_MODEL:-default}
job() { (cd "$dir" && node main_job.mjs "$1"); }

say 'A session: a streamed turn, and one that calls a function of ours'
job begin

say 'A further turn, and kill -9 in the middle of it'
job interrupt
kill -9 "$server"
wait "$server" 2>/dev/null || true
echo "  [perdure, process $server, was killed with -9]"

say 'Starting it again: the same session finishes the turn'
start_server "$port"
job rejoin

say 'Done'
echo "Nothing was lost. The server goes on at http://127.0.0.1:$port (process $server); its log is"
echo "$server_log. Try:"
echo "  export OPENAI_BASE_URL=http://127.0.0.1:$port/v1 OPENAI_API_KEY=perdure-dev"
echo "  $perdure sessions ls --data-dir $data"
echo "Stop it with: kill $server${model_server:+ $model_server}"
if [[ -t 1 ]]; then leave_running=yes; else echo '(not a terminal: stopping it now)'; fi
