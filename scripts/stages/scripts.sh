# Shell and Python programs are clean, and the checkers catch what they are for.
# shellcheck source=scripts/stages/common.sh
source scripts/stages/common.sh

shell_programs() {
  find test.sh demo.sh bench.sh .ci scripts tests examples packaging -type f \
    \( -name '*.sh' -o -path .ci/run \) -not -path '*/node_modules/*' 2>/dev/null | sort
}
python_programs() {
  find scripts tests bench -type f -name '*.py' -not -path '*/node_modules/*' 2>/dev/null | sort
}

while read -r file; do
  check "shellcheck $file" shellcheck --shell=bash -x "$file"
done < <(shell_programs)
while read -r file; do
  check "python syntax of $file" python3 -c 'import ast, sys; ast.parse(open(sys.argv[1]).read())' "$file"
done < <(python_programs)
check 'the counter of tests counts' python3 scripts/stages/counted.py --self-test
