# Links and commands in the documents exist.
# shellcheck source=scripts/stages/common.sh
source scripts/stages/common.sh

counted python3 scripts/check_docs.py
check "the table of providers is the current one" python3 scripts/check_providers.py --check
