# Planted bugs: the sanitised build has them, and each must be caught by a test that passes without it.
# shellcheck source=scripts/stages/common.sh
source scripts/stages/common.sh

build asan perdure journal_test engine_test
build release gate_shim power_loss_shim journal_writer journal_writer_planted
hide_the_user
counted python3 tests/teeth/run.py --build build/asan --shims build/release
