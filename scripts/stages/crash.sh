# Killed, and without power, at every write and sync of a scenario; and killed at random under load.
# shellcheck source=scripts/stages/common.sh
source scripts/stages/common.sh

build_server
build release power_loss_shim
hide_the_user
sweep=(--binary "$PERDURE_BIN" --shim build/release/tests/power_loss/power_loss_shim.so)
if [[ -n ${PERDURE_LONG:-} ]]; then
  counted python3 tests/crash/sweep.py "${sweep[@]}" --seeds 3 || true
  counted python3 tests/crash/sweep.py "${sweep[@]}" --scenario mcp --modes kill,power,hold --seeds 2 || true
  counted python3 tests/crash/sweep.py "${sweep[@]}" --scenario compaction --seeds 2 || true
  counted python3 tests/crash/sweep.py "${sweep[@]}" --scenario functions --seeds 2 || true
  counted python3 tests/crash/sweep.py "${sweep[@]}" --scenario update --seeds 2 || true
  counted python3 tests/crash/sweep.py "${sweep[@]}" --scenario format --seeds 2 || true
  counted python3 tests/crash/sweep.py "${sweep[@]}" --scenario whole --seeds 2 || true
  counted python3 tests/crash/random_kills.py --binary "$PERDURE_BIN" --kills 300 || true
  counted python3 tests/crash/money.py --binary "$PERDURE_BIN" --kills 150 || true
else
  counted python3 tests/crash/sweep.py "${sweep[@]}" --seconds 60 || true
  counted python3 tests/crash/sweep.py "${sweep[@]}" --scenario mcp --modes kill,hold --late || true
  counted python3 tests/crash/sweep.py "${sweep[@]}" --scenario compaction --modes kill --seconds 30 || true
  counted python3 tests/crash/sweep.py "${sweep[@]}" --scenario functions --modes kill --seconds 30 || true
  counted python3 tests/crash/sweep.py "${sweep[@]}" --scenario update --modes kill --seconds 30 || true
  counted python3 tests/crash/sweep.py "${sweep[@]}" --scenario format --modes kill --seconds 30 || true
  counted python3 tests/crash/sweep.py "${sweep[@]}" --scenario whole --modes kill --seconds 45 || true
  counted python3 tests/crash/random_kills.py --binary "$PERDURE_BIN" --kills 20 || true
  counted python3 tests/crash/money.py --binary "$PERDURE_BIN" || true
fi
counted python3 tests/crash/recovery_storm.py --binary "$PERDURE_BIN"
