#include "journal/migrate/store.h"

#include <fmt/format.h>

#include "base/bytes.h"

namespace perdure::journal::migrate {

std::string sql_names(const std::vector<std::string>& names, std::string_view prefix) {
  std::string list;
  for (const std::string& name : names)
    list += fmt::format("{}{}{}", list.empty() ? "" : ", ", prefix, sql_name(name));
  return list;
}

std::vector<std::string> column_names(const Table& table) {
  std::vector<std::string> names;
  names.reserve(table.columns.size());
  for (const Column& column : table.columns) names.push_back(column.name);
  return names;
}

std::vector<std::string> key_names(const Table& table) {
  std::vector<std::string> names;
  names.reserve(table.key.size());
  for (std::size_t index : table.key) names.push_back(table.columns[index].name);
  return names;
}

std::size_t size_of(const Record& record) {
  std::size_t size = 0;
  for (const Value& value : record) {
    const auto* bytes = std::get_if<std::string>(&value);
    size += bytes ? bytes->size() : 8;
  }
  return size;
}

std::string place_of(const Table& table, const Record& record) {
  constexpr std::size_t kShown = 64;
  std::string place;
  for (std::size_t index : table.key) {
    const Value& value = record[index];
    if (!place.empty()) place += ", ";
    if (const auto* number = std::get_if<std::int64_t>(&value)) {
      place += std::to_string(*number);
    } else if (const auto* bytes = std::get_if<std::string>(&value)) {
      const bool plain = is_valid_utf8(*bytes) && bytes->size() <= kShown &&
                         bytes->find_first_of(std::string_view("\0\n\r\x1b", 4)) == bytes->npos;
      place += plain ? *bytes : "0x" + to_hex(bytes->substr(0, kShown));
    }
  }
  return fmt::format("{} ({})", table.name, place);
}

}  // namespace perdure::journal::migrate
