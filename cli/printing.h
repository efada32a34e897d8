// What every command does with an answer: print it, or say why there is none.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"
#include "cli/api_client.h"

namespace perdure::cli {

/// Says on standard error what went wrong; returns the exit status.
int report(const Failure& failure);

/// Prints one line of JSON; returns kDone.
int print_json(const json::value& value);

std::string text_of(const json::object& object, std::string_view key);
/// A date and time, or "-".
std::string time_of(const json::object& object, std::string_view key);

}  // namespace perdure::cli
