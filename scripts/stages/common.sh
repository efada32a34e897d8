# What the stages of test.sh share; sourced by each, run from the root of the tree. PERDURE_LONG is not
# empty where many more seeds, kills and seconds are wanted.
# shellcheck shell=bash
set -euo pipefail

: "${PERDURE_RESULTS:?stages are run by ./test.sh}"

# report PASSED FAILED [SKIPPED]: adds to the stage's result. A stage may report more than once.
report() { printf '%s %s %s\n' "$1" "$2" "${3:-0}" >>"$PERDURE_RESULTS"; }

# check WHAT COMMAND…: one test that passes if the command does. What it says is shown if it fails.
check() {
  local what=$1 log
  shift
  log=$(mktemp)
  if "$@" >"$log" 2>&1; then
    report 1 0
    printf 'ok     %s\n' "$what"
  else
    report 0 1
    cat -- "$log"
    printf 'FAILED %s; alone: %s\n' "$what" "$*"
  fi
  rm -f -- "$log"
}

# build PRESET TARGET…: configures and builds. Silent unless it fails or warns, which is a failure too.
build() {
  local preset=$1 log started=$SECONDS
  shift
  log=build/$preset.log
  mkdir -p build
  if ! { cmake --preset "$preset" -DPERDURE_TESTS=ON && cmake --build --preset "$preset" --target "$@"; } \
    >"$log" 2>&1; then
    grep -E 'error:|FAILED:|CMake Error' -A 12 -- "$log" | head -150 || true
    printf 'FAILED to build %s; alone: cmake --preset %s && cmake --build --preset %s --target %s\n' \
      "$*" "$preset" "$preset" "$*"
    return 1
  fi
  # Of a line of ours or of the linker; ninja and the compiler's driver have worries of their own.
  if grep -E '^[^ ]+:[0-9]+(:[0-9]+)?: warning: |^ld\.lld.*: warning: ' -A 5 -- "$log"; then
    printf 'FAILED: the build of %s warns (see above)\n' "$*"
    return 1
  fi
  printf 'built %s (%s) in %s s\n' "$*" "$preset" $((SECONDS - started))
}

# The server as users run it, for the stages that need one. Quick where it is built.
build_server() {
  build release perdure
  export PERDURE_BIN=$PWD/build/release/perdure
  export PERDURE_BINARY=$PERDURE_BIN
}

# From here on nothing of the user's configuration and keys is seen, and nothing of ours is left there.
hide_the_user() {
  local name
  while IFS='=' read -r name _; do
    case $name in
      PERDURE_BIN | PERDURE_BINARY | PERDURE_RESULTS | PERDURE_LONG | PERDURE_TEST_RUN | PERDURE_SHM) ;;
      PERDURE_* | OPENAI_* | AWS_* | ANTHROPIC_* | [hH][tT][tT][pP]_[pP][rR][oO][xX][yY] | \
        [hH][tT][tT][pP][sS]_[pP][rR][oO][xX][yY] | [aA][lL][lL]_[pP][rR][oO][xX][yY]) unset "$name" ;;
    esac
  done < <(env)
  export XDG_CONFIG_HOME=$TMPDIR/config XDG_DATA_HOME=$TMPDIR/data XDG_RUNTIME_DIR=$TMPDIR/runtime
  (umask 077 && mkdir -p "$XDG_CONFIG_HOME" "$XDG_DATA_HOME" "$XDG_RUNTIME_DIR")
}

# counted COMMAND…: runs a test runner and reports the counts of its closing line.
counted() { python3 scripts/stages/counted.py "$PERDURE_RESULTS" "$@"; }
