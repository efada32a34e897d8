// What a model is told of the time, where its agent asks for it (experimental.time_awareness).
//
// A turn begins with a reminder, before its first message, and a turn that goes on for long gets
// another before the model call that is due once kTimeReminderMs have passed. Each is an entry with
// its text: where it was given it stands for good, so a context that is sent again is sent with the
// same bytes, and prompt caches hit. After a compaction, which may have taken it away, the time is
// told anew. Reminders are no items; nobody but the model reads them.
#pragma once

#include <string>

#include "engine/session_state.h"

namespace perdure::engine {

class Batch;

/// Adds a reminder where one is due; nothing where no turn runs.
Result<void> add_time_reminder(Batch& batch);

/// "2026-02-03T04:05:06Z"
std::string utc_text(UnixMillis time);

// The fold's part.
void note_time_reminder(SessionState& state, UnixMillis time, const TimeReminderBody& body);

}  // namespace perdure::engine
