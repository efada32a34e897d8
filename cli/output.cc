#include "cli/output.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>

namespace perdure::cli {

std::string table(const TableRow& heading, const std::vector<TableRow>& rows) {
  std::vector<std::size_t> widths(heading.size());
  const auto measure = [&](const TableRow& row) {
    for (std::size_t i = 0; i < widths.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  };
  measure(heading);
  for (const TableRow& row : rows) measure(row);
  std::string text;
  const auto print = [&](const TableRow& row) {
    std::string line;
    for (std::size_t i = 0; i < widths.size(); ++i)
      line += fmt::format("{:<{}}  ", row[i], widths[i]);
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  };
  print(heading);
  for (const TableRow& row : rows) print(row);
  return text;
}

std::string date_and_time(std::int64_t seconds) {
  const std::time_t time = seconds;
  std::tm parts{};
  if (!gmtime_r(&time, &parts)) return "?";
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02}", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

}  // namespace perdure::cli
