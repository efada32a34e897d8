# Runs a system test, tests/<name>/run.py, against the real server: system.sh RUNNER.
# The runner gets --binary, and --shim where a <name>_shim.c lies beside it (its CMake target has that
# name). It keeps what it writes below TMPDIR and closes with "N passed, N failed, N skipped".
# shellcheck source=scripts/stages/common.sh
source scripts/stages/common.sh

runner=$1
build_server
arguments=(--binary "$PERDURE_BIN")
shopt -s nullglob
for source in "${runner%/*}"/*_shim.c; do
  name=$(basename "$source" .c)
  build release "$name"
  arguments+=(--shim "$(find build/release/tests -name "*$name*.so" -print -quit)")
done
hide_the_user
counted python3 "$runner" "${arguments[@]}"
