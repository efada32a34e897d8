# The server and the tests compile without a warning.
# shellcheck source=scripts/stages/common.sh
source scripts/stages/common.sh

build release perdure
report 1 0
build asan all
report 1 0
