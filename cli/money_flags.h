// Whether words of the command line about money can mean anything, before a server is asked.
//
// Each returns a sentence for who typed it, or nothing where the word is right. Pure functions; the
// server checks all of it again.
#pragma once

#include <string>

namespace perdure::cli {

std::string wrong_dollars(const std::string& text);
std::string wrong_window(const std::string& text);
std::string wrong_scope(const std::string& text);
/// A day of the calendar, such as 2026-02-03.
std::string wrong_day(const std::string& text);
/// A list of what usage can be summed up by, each once.
std::string wrong_grouping(const std::string& text);

}  // namespace perdure::cli
