# Includes respect the layers, and the check notices where they do not.
# shellcheck source=scripts/stages/common.sh
source scripts/stages/common.sh

check 'planted violations are found' python3 scripts/check_layers.py --self-test
check 'the layers hold' python3 scripts/check_layers.py
