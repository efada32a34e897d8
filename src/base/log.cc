#include "base/log.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <ctime>

#include "base/json.h"

namespace perdure::log {
namespace {

std::atomic<Level> g_level{Level::kInfo};
std::atomic<Format> g_format{Format::kText};

std::string_view name_of(Level level) {
  switch (level) {
    case Level::kDebug:
      return "debug";
    case Level::kInfo:
      return "info";
    case Level::kWarn:
      return "warn";
    default:
      return "error";
  }
}

std::string timestamp() {
  using namespace std::chrono;
  auto now = system_clock::now();
  auto millis = duration_cast<milliseconds>(now.time_since_epoch()).count() % 1000;
  std::time_t seconds = system_clock::to_time_t(now);
  std::tm parts;
  gmtime_r(&seconds, &parts);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", parts, millis);
}

bool needs_quotes(std::string_view value) {
  return value.empty() || value.find_first_of(" \"=\n\t\\") != std::string_view::npos;
}

}  // namespace

void configure(Level level, Format format) {
  g_level = level;
  g_format = format;
}

bool enabled(Level level) {
  return level >= g_level.load(std::memory_order_relaxed);
}

void write(Level level, std::string_view message, std::initializer_list<Field> fields) {
  std::string line;
  if (g_format == Format::kJson) {
    line = fmt::format(R"({{"time":"{}","level":"{}","message":)", timestamp(), name_of(level));
    append_quoted(line, message);
    for (const Field& field : fields) {
      line += ',';
      append_quoted(line, field.key);
      line += ':';
      append_quoted(line, field.value);
    }
    line += "}\n";
  } else {
    line = fmt::format("{} {:<5} {}", timestamp(), name_of(level), message);
    for (const Field& field : fields) {
      line += fmt::format(" {}=", field.key);
      if (needs_quotes(field.value))
        append_quoted(line, field.value);
      else
        line += field.value;
    }
    line += '\n';
  }
  [[maybe_unused]] ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

void fatal(std::string_view message, std::initializer_list<Field> fields) {
  write(Level::kError, message, fields);
  ::_exit(70);  // EX_SOFTWARE
}

}  // namespace perdure::log
