# The recipes of deploy/, run as they stand there, and backups restored.
# shellcheck source=scripts/stages/common.sh
source scripts/stages/common.sh

scripts/setup.sh deploy
build_server
hide_the_user
counted python3 tests/deploy/run.py --binary "$PERDURE_BIN"
