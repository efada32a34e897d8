# The doors answer as the cases of tests/conformance say.
# shellcheck source=scripts/stages/common.sh
source scripts/stages/common.sh

build_server
hide_the_user
counted python3 scripts/with_server.py -- python3 tests/conformance/run.py --base-url '{url}' --token any
