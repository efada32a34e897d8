# clang-tidy (.clang-tidy: coroutines, lifetimes, a few bug finders) over every source file. What
# makes code quick is no concern of tests, which are to be read.
# shellcheck source=scripts/stages/common.sh
source scripts/stages/common.sh

build dev all
mapfile -t files < <(git ls-files 'src/*.cc' 'cli/*.cc')
for file in "${files[@]}"; do
  while (($(jobs -rp | wc -l) >= $(nproc))); do wait -n; done
  checks=
  case $file in *_test.cc | */testing/* | *_test_support.cc) checks='-performance-*' ;; esac
  check "clang-tidy $file" clang-tidy-19 --quiet -p build/dev "--checks=$checks" "$file" &
done
wait
