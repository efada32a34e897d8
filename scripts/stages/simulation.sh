# Nodes, clients and misfortunes in simulated time: every seed keeps the rules, and planted bugs do not.
# shellcheck source=scripts/stages/common.sh
source scripts/stages/common.sh

build release simulation
build asan simulation
hide_the_user
seeds=500 disks=200
[[ -z ${PERDURE_LONG:-} ]] || seeds=10000 disks=2000
simulation=(python3 tests/simulation/run.py --binary build/release/tests/simulation/simulation
  --planted build/asan/tests/simulation/simulation)
counted "${simulation[@]}" --seeds "$seeds" || true
counted "${simulation[@]}" --embedded --seeds "$disks"
