# Unit tests under ThreadSanitizer.
# shellcheck source=scripts/stages/common.sh
source scripts/stages/common.sh

build tsan all
hide_the_user
python3 scripts/stages/unit_tests.py build/tsan
