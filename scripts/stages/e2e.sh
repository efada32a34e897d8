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
# The Python SDK in an environment of its own, made anew where other versions are wanted.
if ! cmp -s tests/e2e/requirements.txt build/python/requirements.txt; then
  rm -rf build/python
  python3 -m venv build/python
  build/python/bin/pip install --quiet --disable-pip-version-check -r tests/e2e/requirements.txt
  cp tests/e2e/requirements.txt build/python/requirements.txt
fi
hide_the_user
for file in "${python_tests[@]}"; do
  counted python3 "$file" || true # counted; the others are wanted too
done
counted build/python/bin/python tests/e2e/openai_python.py || true
counted build/python/bin/python tests/e2e/responses_python.py || true
if ((${#node_tests[@]} > 0)); then
  counted node --test --test-concurrency=1 --test-reporter=tap "${node_tests[@]}" || true
fi
