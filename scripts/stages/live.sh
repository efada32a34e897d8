# Sessions on a real engine, llama.cpp: half a megabyte of random weights, and the demo's small model.
# shellcheck source=scripts/stages/common.sh
source scripts/stages/common.sh

build_server
hide_the_user
counted python3 tests/live/run.py --binary "$PERDURE_BIN"
