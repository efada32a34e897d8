# Erasing and remembering in the real server.
# shellcheck source=scripts/stages/common.sh
source scripts/stages/common.sh

build_server
appends=2000
[[ -z ${PERDURE_LONG:-} ]] || appends=10000
counted python3 tests/memory/run.py --binary "$PERDURE_BIN" --appends "$appends"
