# Nodes over one PostgreSQL: any request to any of them, and one that dies, pauses or leaves.
# shellcheck source=scripts/stages/common.sh
source scripts/stages/common.sh

build_server
hide_the_user
counted python3 tests/cluster/run.py --binary "$PERDURE_BIN"
