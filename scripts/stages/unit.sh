# Unit tests under AddressSanitizer and UndefinedBehaviorSanitizer.
# shellcheck source=scripts/stages/common.sh
source scripts/stages/common.sh

build asan all
hide_the_user
python3 scripts/stages/unit_tests.py build/asan
counted python3 scripts/check_providers.py build/asan/src/models/models_test
