# The demo from its first line to its last, kill -9 included, with the scripted model and the server
# that is built.
# shellcheck source=scripts/stages/common.sh
source scripts/stages/common.sh

build_server
scripts/setup.sh node
# shellcheck source=/dev/null
source <(scripts/setup.sh --environment)
# Kept from run to run, so that the SDK is fetched once; and fetched here, with the user's settings.
demo_dir=$PWD/build/demo
mkdir -p "$demo_dir"
cp examples/main_job/package.json "$demo_dir/"
(cd "$demo_dir" && { npm ls || npm install --no-audit --no-fund --loglevel=error; }) >"$TMPDIR/npm.log" 2>&1 ||
  { cat "$TMPDIR/npm.log"; exit 1; }
hide_the_user
export PERDURE_DEMO_DIR=$demo_dir
check 'a session outlives kill -9 in the demo' ./demo.sh --scripted
