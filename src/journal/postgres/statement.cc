#include "journal/postgres/statement.h"

#include <fmt/format.h>
#include <libpq-fe.h>

#include <algorithm>
#include <limits>
#include <stdexcept>

namespace perdure::journal::postgres {
namespace {

// Object ids of the types, fixed for ever in PostgreSQL's catalogue.
constexpr unsigned kBool = 16, kBytea = 17, kInt8 = 20, kText = 25;
constexpr unsigned kByteaArray = 1001, kTextArray = 1009, kInt8Array = 1016;

template <class Integer>
void append_integer(std::string& out, Integer value) {
  auto bits = static_cast<std::make_unsigned_t<Integer>>(value);
  for (int shift = static_cast<int>(sizeof value) * 8 - 8; shift >= 0; shift -= 8)
    out.push_back(static_cast<char>(bits >> shift & 0xff));
}

std::string encoded(std::int64_t value) {
  std::string out;
  append_integer(out, value);
  return out;
}

/// An array of one dimension; a missing element is NULL.
std::string array_of(unsigned element, const std::vector<std::optional<std::string_view>>& values) {
  bool has_null = std::ranges::any_of(values, [](const auto& value) { return !value; });
  std::string out;
  append_integer<std::int32_t>(out, values.empty() ? 0 : 1);
  append_integer<std::int32_t>(out, has_null);
  append_integer<std::int32_t>(out, static_cast<std::int32_t>(element));
  if (values.empty()) return out;
  append_integer(out, static_cast<std::int32_t>(values.size()));
  append_integer<std::int32_t>(out, 1);  // the first index
  for (const auto& value : values) {
    append_integer(out, value ? static_cast<std::int32_t>(value->size()) : std::int32_t{-1});
    if (value) out.append(*value);
  }
  return out;
}

}  // namespace

// ---- values ---------------------------------------------------------------------------------

std::string Statement::add(unsigned type, std::string_view name, std::optional<std::string> bytes) {
  values.push_back({type, std::move(bytes)});
  return fmt::format("${}::{}", values.size(), name);
}

std::string Statement::number(std::int64_t value) {
  return add(kInt8, "bigint", encoded(value));
}

std::string Statement::number(std::uint64_t value) {
  constexpr auto kLargest = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  return number(static_cast<std::int64_t>(std::min(value, kLargest)));
}

std::string Statement::flag(bool value) {
  return add(kBool, "boolean", std::string(1, value ? '\1' : '\0'));
}

std::string Statement::text(std::string_view value) {
  return add(kText, "text", std::string(value));
}

std::string Statement::text_or_null(const std::optional<std::string>& value) {
  return add(kText, "text", value);
}

std::string Statement::bytes(std::string_view value) {
  return add(kBytea, "bytea", std::string(value));
}

std::string Statement::numbers(const std::vector<std::int64_t>& numbers) {
  std::vector<std::string> kept;
  kept.reserve(numbers.size());
  for (std::int64_t value : numbers) kept.push_back(encoded(value));
  return add(kInt8Array, "bigint[]", array_of(kInt8, {kept.begin(), kept.end()}));
}

std::string Statement::numbers_or_null(const std::vector<std::optional<std::int64_t>>& numbers) {
  std::vector<std::string> kept;
  kept.reserve(numbers.size());
  for (const auto& value : numbers) kept.push_back(encoded(value.value_or(0)));
  std::vector<std::optional<std::string_view>> elements(kept.begin(), kept.end());
  for (std::size_t i = 0; i < numbers.size(); ++i)
    if (!numbers[i]) elements[i].reset();
  return add(kInt8Array, "bigint[]", array_of(kInt8, elements));
}

std::string Statement::texts(const std::vector<std::string>& texts) {
  return add(kTextArray, "text[]", array_of(kText, {texts.begin(), texts.end()}));
}

std::string Statement::byte_strings(const std::vector<std::optional<std::string_view>>& strings) {
  return add(kByteaArray, "bytea[]", array_of(kBytea, strings));
}

// ---- answers --------------------------------------------------------------------------------

void Rows::Clear::operator()(pg_result* result) const {
  PQclear(result);
}

Rows::Rows(pg_result* owned) : result_(owned) {}

int Rows::count() const {
  return PQntuples(result_.get());
}

std::string_view Rows::command() const {
  return PQcmdStatus(result_.get());
}

std::string Rows::error_state() const {
  const char* state = PQresultErrorField(result_.get(), PG_DIAG_SQLSTATE);
  return state ? state : "";
}

std::string_view Rows::raw(int row, int column) const {
  return {PQgetvalue(result_.get(), row, column),
          static_cast<std::size_t>(PQgetlength(result_.get(), row, column))};
}

std::int64_t Rows::integer(int row, int column) const {
  std::string_view bytes = raw(row, column);
  if (bytes.empty() || bytes.size() > 8) throw std::logic_error("a column that is no integer");
  // Sign-extended from its first byte: columns are smallint, integer or bigint.
  std::uint64_t value = (static_cast<unsigned char>(bytes.front()) & 0x80) != 0 ? ~0ULL : 0;
  for (char byte : bytes) value = value << 8 | static_cast<unsigned char>(byte);
  return static_cast<std::int64_t>(value);
}

bool Rows::flag(int row, int column) const {
  return raw(row, column) == std::string_view("\1", 1);
}

std::string Rows::text(int row, int column) const {
  return std::string(raw(row, column));
}

std::optional<std::string> Rows::optional_text(int row, int column) const {
  if (is_null(row, column)) return std::nullopt;
  return text(row, column);
}

bool Rows::is_null(int row, int column) const {
  return PQgetisnull(result_.get(), row, column) != 0;
}

}  // namespace perdure::journal::postgres
