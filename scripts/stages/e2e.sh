# Clients that nobody here wrote, and the command line, against the real server.
# shellcheck source=scripts/stages/common.sh
source scripts/stages/common.sh

build_server
shopt -s nullglob
node_tests=(tests/e2e/*.test.mjs)
python_tests=(tests/e2e/*_test.py)
if ((${#node_tests[@]} > 0)); then
  scripts/setup.sh node
  # shellcheck source=/dev/null
  source <(scripts/setup.sh --environment)
  (cd tests/e2e && npm install --no-package-lock --no-audit --no-fund --loglevel=error)
fi
hide_the_user
for file in "${python_tests[@]}"; do
  counted python3 "$file" || true # counted; the others are wanted too
done
if ((${#node_tests[@]} > 0)); then
  counted node --test --test-concurrency=1 --test-reporter=tap "${node_tests[@]}" || true
fi
