#!/usr/bin/env bash
# Measures Perdure beside yardsticks in the same run: docs/benchmarks.md says what, and how to read it.
#
#   ./bench.sh                    all rows, up to five rounds each
#   ./bench.sh ROW…               some of them
#   ./bench.sh --list             the rows
#   ./bench.sh --quick            little of everything: to see that it works
#   ./bench.sh --full dormant     with one million dormant sessions
#   ./bench.sh --write            renew the tables in docs/benchmarks.md too
#
# Builds the release preset; sends nothing but to loopback; results also in build/bench/results.json.
# Exit status: 0 measured (a missed goal is a figure, not a failure), 1 something broke, 2 wrong usage.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"

case " $* " in
  *' --list '* | *' --help '* | *' -h '*) exec python3 bench/run.py "$@" ;;
esac

# Debian's packages of these start a service when they are installed; the program alone is what we want.
fetch_program() { # package, its program, the row that goes without it
  local directory=build/bench/$1
  if command -v "$1" >/dev/null || [[ -x $directory/$2 ]]; then return 0; fi
  rm -rf -- "$directory" && mkdir -p -- "$directory"
  (cd -- "$directory" && apt-get download -qq "$1" && dpkg-deb -x "$1"_*.deb . && "$PWD/$2" -v) \
    >"$directory/log" 2>&1 ||
    { rm -f -- "$directory/$2"; echo "bench: no $1 here; the row $3 goes without it" >&2; }
}

scripts/setup.sh build node
fetch_program h2o usr/bin/h2o reads
fetch_program nginx usr/sbin/nginx chunks
# shellcheck source=/dev/null
source <(scripts/setup.sh --environment)
cmake --preset release -DPERDURE_TESTS=OFF >/dev/null
nice -n 5 cmake --build --preset release --target perdure perdure_bench
exec python3 bench/run.py "$@"
