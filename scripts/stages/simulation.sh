# Nodes, clients and misfortunes in simulated time: every seed keeps the rules, and planted bugs do not.
# shellcheck source=scripts/stages/common.sh
source scripts/stages/common.sh

build release simulation
build asan simulation
hide_the_user
seeds=500
[[ -z ${PERDURE_LONG:-} ]] || seeds=10000
counted python3 tests/simulation/run.py --binary build/release/tests/simulation/simulation \
  --planted build/asan/tests/simulation/simulation --seeds "$seeds"
