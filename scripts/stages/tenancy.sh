# Another project's eyes on every route.
# shellcheck source=scripts/stages/common.sh
source scripts/stages/common.sh

build_server
hide_the_user
counted python3 tests/tenancy/run.py --binary "$PERDURE_BIN"
