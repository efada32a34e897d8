// The commands of perdure_bench, the C++ half of bench.sh.
//
// Each takes its options, does one bounded piece of work against loopback or a directory, and
// prints one JSON object on standard output. A failure is an exception whose text says what was
// expected; main prints it and exits with 1. bench/run.py calls them and compares what they print.
#pragma once

#include "bench/arguments.h"

namespace perdure::bench {

/// A model that answers at once: chat completions over HTTP. Serves until it is ended.
///   --pieces N --piece-bytes N   the text it answers with
///   --stamped N --gap-us N       N pieces instead, each in a write of its own that says when it
///   left
///   --hang                       never answers; counts the calls
void stub_model(const Arguments& arguments);

/// Agent turns, one session after the other per client.
///   --port P --clients N --seconds S or --turns N (per client) --session-turns N --tool
///   --text-bytes N --batch N --batch-turns N (turns that send N messages) --server-pid PID
void turns(const Arguments& arguments);

/// The same text from the stub model without a server between: --port P --count N --text-bytes N
void direct(const Arguments& arguments);

/// What a piece of a stamped answer takes from the model to the client: --port P --count N
/// (answers); with --session through a session of its own, otherwise over chat completions.
void chunks(const Arguments& arguments);

/// GETs: --port P --paths FILE --clients N --count N; with --stop-at TEXT each on a connection of
/// its own, which is closed behind the event that holds the text.
void reads(const Arguments& arguments);

/// Waits for a server that is about to start, then for /readyz and for every session:
///   --port P --ids FILE
void await(const Arguments& arguments);

/// Durable commits of one row by SQLite itself: --dir DIR --count N --bytes N
void commits(const Arguments& arguments);

/// Records found by their words: --records N --questions N; with --fts in SQLite FTS5 too.
void memory(const Arguments& arguments);

/// Copies the one session of a stopped server's directory: --data-dir DIR --count N --ids FILE
void seed(const Arguments& arguments);

}  // namespace perdure::bench
