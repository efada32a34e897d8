# The output gate: with its flushes held, the server says nothing on any socket.
# shellcheck source=scripts/stages/common.sh
source scripts/stages/common.sh

build_server
build release gate_shim
hide_the_user
counted python3 tests/gate/run.py --binary "$PERDURE_BIN" --shim build/release/tests/gate/gate_shim.so
