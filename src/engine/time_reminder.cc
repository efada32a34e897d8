#include "engine/time_reminder.h"

#include <fmt/format.h>

#include <chrono>
#include <cstdlib>

#include "engine/batch.h"
#include "engine/limits.h"
#include "engine/routing.h"

namespace perdure::engine {

Result<void> add_time_reminder(Batch& batch) {
  const SessionState& state = batch.state();
  if (!state.turn || !state.agent->time_awareness) return {};
  const UnixMillis last = state.turn->reminded;
  // The clock may have been set back, or another node's may be behind.
  if (last != 0 && std::abs(batch.now() - last) < kTimeReminderMs) return {};
  TRY_VOID(batch.add(
      journal::kTimeReminder,
      TimeReminderBody{state.turn->seq, fmt::format("[The time is {}.]", utc_text(batch.now()))}));
  return {};
}

std::string utc_text(UnixMillis time) {
  using std::chrono::sys_days;
  const std::chrono::sys_time<std::chrono::milliseconds> moment{std::chrono::milliseconds(time)};
  const sys_days day = std::chrono::floor<std::chrono::days>(moment);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(std::chrono::floor<std::chrono::seconds>(moment - day));
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count());
}

void note_time_reminder(SessionState& state, UnixMillis time, const TimeReminderBody& body) {
  state.turn->reminded = time;
  state.context_tokens += tokens_of_text(body.text.size());
}

}  // namespace perdure::engine
