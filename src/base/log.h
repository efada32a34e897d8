// Structured log lines on standard error: text for a person, JSON for a collector.
//
// The level and format are process-wide and set once by main. A line is written with one write(2),
// so lines of different threads do not mix. Never log a credential, a prompt or a header value.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace perdure::log {

enum class Level { kDebug, kInfo, kWarn, kError, kOff };
enum class Format { kText, kJson };

void configure(Level level, Format format);
bool enabled(Level level);

struct Field {
  std::string_view key;
  std::string value;
  Field(std::string_view k, std::string_view v) : key(k), value(v) {}
  Field(std::string_view k, const char* v) : key(k), value(v) {}
  Field(std::string_view k, const std::string& v) : key(k), value(v) {}
  template <class Number>
    requires std::is_arithmetic_v<Number>
  Field(std::string_view k, Number v) : key(k), value(std::to_string(v)) {}
};

void write(Level level, std::string_view message, std::initializer_list<Field> fields);

inline void debug(std::string_view message, std::initializer_list<Field> fields = {}) {
  if (enabled(Level::kDebug)) write(Level::kDebug, message, fields);
}
inline void info(std::string_view message, std::initializer_list<Field> fields = {}) {
  if (enabled(Level::kInfo)) write(Level::kInfo, message, fields);
}
inline void warn(std::string_view message, std::initializer_list<Field> fields = {}) {
  if (enabled(Level::kWarn)) write(Level::kWarn, message, fields);
}
inline void error(std::string_view message, std::initializer_list<Field> fields = {}) {
  if (enabled(Level::kError)) write(Level::kError, message, fields);
}

/// Says why on standard error and ends the process at once, without running destructors: for states
/// in which going on could lose acknowledged data (a failed fsync).
[[noreturn]] void fatal(std::string_view message, std::initializer_list<Field> fields = {});

}  // namespace perdure::log
