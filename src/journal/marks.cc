#include "journal/marks.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "base/json.h"

namespace perdure::journal {
namespace {

std::string date_of(UnixMillis time) {
  return fmt::format("{:%Y-%m-%d %H:%M} UTC", fmt::gmtime(static_cast<std::time_t>(time / 1000)));
}

std::string_view or_another(const std::string& name) {
  return name.empty() ? std::string_view("another store") : std::string_view(name);
}

}  // namespace

std::string to_value(const Mark& mark) {
  return serialize(
      json::object{{"v", 1}, {"id", mark.id}, {"store", mark.store}, {"time", mark.time}});
}

Mark mark_of(std::string_view value) {
  const auto parsed = parse_json(value);
  if (!parsed || !parsed->is_object()) return {};
  const json::object& object = parsed->get_object();
  return {.id = std::string(get_string(object, "id")),
          .store = std::string(get_string(object, "store")),
          .time = get_int(object, "time")};
}

std::string moved_sentence(const Mark& mark, std::string_view name) {
  return fmt::format(
      "{} was moved to {} on {}, and is now only what it was then. Start the server with that "
      "store; to come back, 'perdure migrate' from there into an empty store.",
      name, or_another(mark.store), date_of(mark.time));
}

Result<void> refuse_marked(const Marks& marks, std::string_view name) {
  if (marks.migrating)
    return fail(
        ErrorCode::kConflict,
        fmt::format("{} holds an unfinished copy of {}, begun on {}: a migration was "
                    "interrupted. Run the same 'perdure migrate' again, which starts over; "
                    "or start the server with another store.",
                    name, or_another(marks.migrating->store), date_of(marks.migrating->time)),
        {}, "migrating");
  if (marks.moved_to)
    return fail(ErrorCode::kConflict, moved_sentence(*marks.moved_to, name), {}, "moved");
  return {};
}

}  // namespace perdure::journal
