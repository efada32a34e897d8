# C++ is laid out as .clang-format says.
# shellcheck source=scripts/stages/common.sh
source scripts/stages/common.sh

sources() {
  if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    git ls-files '*.h' '*.cc' '*.c'
  else
    find src cli tests fuzz bench -name '*.h' -o -name '*.cc' -o -name '*.c'
  fi
}

# One test per file, so that the count says how much was looked at.
right=0 wrong=0
while read -r file; do
  [[ -e $file ]] || continue # removed and not yet committed
  if clang-format-19 --dry-run -Werror "$file" >"$TMPDIR/format" 2>&1; then
    right=$((right + 1))
  else
    wrong=$((wrong + 1))
    head -4 "$TMPDIR/format"
    printf 'FAILED %s; mend: clang-format-19 -i %s\n' "$file" "$file"
  fi
done < <(sources)
report "$right" "$wrong"
