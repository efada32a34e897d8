# The server over PostgreSQL: killed at random under load, and its database, too; and the way there and back.
# shellcheck source=scripts/stages/common.sh
source scripts/stages/common.sh

build_server
hide_the_user
kills=9
if [[ -n ${PERDURE_LONG:-} ]]; then kills=150; fi
counted python3 tests/crash/random_kills.py --binary "$PERDURE_BIN" --postgres --kills "$kills" || true # counted
counted python3 tests/postgres/refusals.py --binary "$PERDURE_BIN" || true # counted
counted python3 tests/migrate/run.py
