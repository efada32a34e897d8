# Nodes and their database in network namespaces: cut off, paused, killed, slow.
# shellcheck source=scripts/stages/common.sh
source scripts/stages/common.sh

build_server
hide_the_user
chaos=(python3 tests/chaos/run.py --binary "$PERDURE_BIN")
[[ -z ${PERDURE_LONG:-} ]] || chaos+=(--rounds 10)
counted "${chaos[@]}"
