# Power lost at any write or flush of the store. The sweep makes as many of its runs as it has time for.
# shellcheck source=scripts/stages/common.sh
source scripts/stages/common.sh

build release power_loss_shim journal_writer journal_writer_planted
hide_the_user
sweep=(python3 tests/power_loss/sweep.py
  --shim "$(find build/release/tests/power_loss -name '*power_loss_shim*.so')"
  --writer build/release/tests/power_loss/journal_writer
  --planted build/release/tests/power_loss/journal_writer_planted)
[[ -n ${PERDURE_LONG:-} ]] || sweep+=(--seconds 40)
status=0
"${sweep[@]}" | tee "$TMPDIR/sweep" || status=$?
# "321 of 999 runs, 0 failures", "planted bug weak-sync: found in 3 runs"
runs=$(sed -n 's/^\([0-9]*\) of [0-9]* runs, .*/\1/p' "$TMPDIR/sweep")
bad=$(sed -n 's/^[0-9]* of [0-9]* runs, \([0-9]*\) failures$/\1/p' "$TMPDIR/sweep")
found=$(grep -c '^planted bug .*: found' "$TMPDIR/sweep" || true)
missed=$(grep -c '^planted bug .*: NOT FOUND' "$TMPDIR/sweep" || true)
report $((${runs:-0} - ${bad:-0} + found)) $((${bad:-0} + missed))
exit "$status"
