// One SQL statement with its values, and the rows of an answer. Everything crosses in PostgreSQL's
// binary form: bodies are bytes, and no value is ever part of a statement's text.
//
// Values. They know nothing of connections and threads.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

struct pg_result;

namespace perdure::journal::postgres {

class Statement {
 public:
  Statement() = default;
  explicit Statement(std::string text) : sql(std::move(text)) {}

  // Each adds a value and gives what stands for it in the text: "$3::bigint".
  std::string number(std::int64_t value);
  std::string number(std::uint64_t value);  ///< what is too large becomes the largest bigint
  std::string flag(bool value);
  std::string text(std::string_view value);
  std::string text_or_null(const std::optional<std::string>& value);
  std::string bytes(std::string_view value);
  std::string numbers(const std::vector<std::int64_t>& values);
  std::string numbers_or_null(const std::vector<std::optional<std::int64_t>>& values);
  std::string texts(const std::vector<std::string>& values);
  std::string byte_strings(const std::vector<std::optional<std::string_view>>& values);

  struct Value {
    unsigned type = 0;
    std::optional<std::string> bytes;  // nullopt: NULL
  };
  std::string sql;
  std::vector<Value> values;

 private:
  std::string add(unsigned type, std::string_view name, std::optional<std::string> bytes);
};

/// The answer to one statement.
class Rows {
 public:
  Rows() = default;
  explicit Rows(pg_result* owned);

  int count() const;
  bool empty() const { return count() == 0; }
  /// "COMMIT", "UPDATE 1" …
  std::string_view command() const;
  /// The SQLSTATE of an answer that is an error, else empty.
  std::string error_state() const;

  std::int64_t integer(int row, int column) const;
  std::uint64_t natural(int row, int column) const {
    return static_cast<std::uint64_t>(integer(row, column));
  }
  bool flag(int row, int column) const;
  std::string text(int row, int column) const;
  std::optional<std::string> optional_text(int row, int column) const;
  bool is_null(int row, int column) const;

 private:
  struct Clear {
    void operator()(pg_result* result) const;
  };
  std::string_view raw(int row, int column) const;
  std::unique_ptr<pg_result, Clear> result_;
};

/// Of the statements of one run, in their order.
using Answers = std::vector<Rows>;

}  // namespace perdure::journal::postgres
