# A disk that is full, and one whose flush fails, under the whole server.
# shellcheck source=scripts/stages/common.sh
source scripts/stages/common.sh

build_server
build release gate_shim
hide_the_user
counted python3 tests/disk/run.py --binary "$PERDURE_BIN" --shim build/release/tests/gate/gate_shim.so
