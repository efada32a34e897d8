#!/usr/bin/env bash
# The main job, on this machine, with a real model: install what is missing, build, start
# `perdure dev`, and let the official openai SDK open a session, stream a turn, run a local function,
# lose the server to a kill -9 in the middle of a turn, and see the same turn end after a restart.
#
#   ./demo.sh              everything, from a fresh Debian 12; run it again as often as you like
#   ./demo.sh --scripted   without a real model: the built-in scripted one, which says so
#
# As root or as a user with sudo. The model is the one that `perdure dev` finds; where it finds none, a
# small one installed from Python packages; else the scripted one. PERDURE_DEMO_MODEL names another of
# those that are found, PERDURE_BIN a server that is built already. What is there is not installed again.
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

perdure=${PERDURE_BIN:-}

say 'Installing what is missing'
if [[ -n $perdure ]]; then scripts/setup.sh run node; else scripts/setup.sh build run node; fi
# shellcheck source=/dev/null
source <(scripts/setup.sh --environment)

if [[ -z $perdure ]]; then
  say 'Building (the first time takes a few minutes)'
  if [[ ! -e build/release/build.ninja ]]; then # one that is there may be configured for tests, and stays so
    cmake --preset release -DPERDURE_TESTS=OFF >"$dir/configure.log" 2>&1 || { cat "$dir/configure.log"; exit 1; }
  fi
  cmake --build --preset release --target perdure
  perdure=$PWD/build/release/perdure
fi
"$perdure" version

say 'The official openai SDK'
cp examples/main_job/package.json examples/main_job/main_job.mjs "$dir/"
(cd "$dir" && { npm ls >npm.log 2>&1 || npm install --no-audit --no-fund --loglevel=error; })

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

start_server() { # port
  rm -f -- "$dir/printed.txt"
  "$perdure" dev --config "$config" --listen "127.0.0.1:$1" --data-dir "$data" \
    ${PERDURE_DEMO_MODEL:+--model "$PERDURE_DEMO_MODEL"} >"$dir/printed.txt" 2>>"$server_log" &
  server=$!
  wait_for "http://127.0.0.1:$1/readyz" "$server" 60 ||
    { tail -20 "$server_log" >&2; fail 'perdure did not start'; }
}

use_local_model() {
  local port name
  port=$(free_port)
  PERDURE_DEMO_DIR=$dir scripts/local_model.sh serve "$port" >"$dir/model.log" 2>&1 &
  model_server=$!
  wait_for "http://127.0.0.1:$port/health" "$model_server" 120 ||
    { tail -20 "$dir/model.log" >&2; fail 'the local model did not start'; }
  name=$(scripts/local_model.sh name)
  unset PERDURE_DEMO_MODEL
  cat >"$config" <<TOML
[[provider]]
name = "local"
kind = "openai-chat"
base_url = "http://127.0.0.1:$port/v1"

[[model]]
name = "$name"
provider = "local"
upstream = "$name"
# Too small to decide on its own to use a tool: it calls the one that a message names, and no other.
name_tools = true
TOML
}

use_script() {
  unset PERDURE_DEMO_MODEL
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
}

say 'Starting perdure dev'
config=$dir/perdure.toml
: >"$config"
: >"$server_log"
rm -rf -- "$data"
port=$(free_port)
[[ $scripted == no ]] || use_script
start_server "$port"
if [[ $scripted == no ]] && grep -q '^  Model  *scripted' "$dir/printed.txt"; then
  echo 'It found no model on this machine.'
  stop "$server"
  server=
  if scripts/local_model.sh install; then
    use_local_model
  else
    echo 'No real model can be had here: the built-in SCRIPTED provider, which is not a model, stands in.'
    use_script
  fi
  start_server "$port"
fi
cat -- "$dir/printed.txt"
if grep -q "the name 'default' means nothing" "$dir/printed.txt"; then
  fail 'say which of its models to use: PERDURE_DEMO_MODEL=NAME ./demo.sh'
fi

export PERDURE_DEMO_STATE=$dir/main_job.json
# For the client alone: a server that is started again must find the same model as before.
job() {
  (cd "$dir" && OPENAI_BASE_URL=http://127.0.0.1:$port/v1 OPENAI_API_KEY=perdure-dev PERDURE_DEMO_MODEL=default \
    node main_job.mjs "$1")
}

say 'A session: a streamed turn, and one that calls a function of ours'
job begin

say 'A further turn, and kill -9 in the middle of it'
job interrupt
{ kill -9 "$server" && wait "$server"; } 2>/dev/null || true # without the shell's own word about it
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
