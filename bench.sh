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

# Debian's h2o package starts a service when it is installed; its program alone is what we want.
fetch_h2o() {
  local directory=build/bench/h2o
  if command -v h2o >/dev/null || [[ -x $directory/usr/bin/h2o ]]; then return 0; fi
  rm -rf -- "$directory" && mkdir -p -- "$directory"
  (cd -- "$directory" && apt-get download -qq h2o && dpkg-deb -x h2o_*.deb . && usr/bin/h2o --version) \
    >"$directory/log" 2>&1 ||
    { rm -f -- "$directory/usr/bin/h2o"; echo 'bench: no h2o here; the row reads goes without it' >&2; }
}

scripts/setup.sh build node
fetch_h2o
# shellcheck source=/dev/null
source <(scripts/setup.sh --environment)
cmake --preset release -DPERDURE_TESTS=OFF >/dev/null
nice -n 5 cmake --build --preset release --target perdure perdure_bench
exec python3 bench/run.py "$@"
