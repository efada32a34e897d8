#include "cli/printing.h"

#include <fmt/format.h>

#include <cstdio>

#include "cli/exit_code.h"
#include "cli/output.h"

namespace perdure::cli {

int report(const Failure& failure) {
  fmt::print(stderr, "perdure: {}\n", failure.message);
  return failure.exit_code;
}

int print_json(const json::value& value) {
  fmt::print("{}\n", perdure::serialize(value));
  return kDone;
}

std::string text_of(const json::object& object, std::string_view key) {
  return std::string(get_string(object, key));
}

std::string time_of(const json::object& object, std::string_view key) {
  const std::int64_t seconds = get_int(object, key);
  return seconds == 0 ? "-" : date_and_time(seconds);
}

}  // namespace perdure::cli
