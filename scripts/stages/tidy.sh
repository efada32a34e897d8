# clang-tidy (.clang-tidy: coroutines, lifetimes, a few bug finders) over every source file.
# shellcheck source=scripts/stages/common.sh
source scripts/stages/common.sh

build dev all
mapfile -t files < <(git ls-files 'src/*.cc' 'cli/*.cc')
for file in "${files[@]}"; do
  while (($(jobs -rp | wc -l) >= $(nproc))); do wait -n; done
  check "clang-tidy $file" clang-tidy-19 --quiet -p build/dev "$file" &
done
wait
