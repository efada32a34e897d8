// Reads a TOML file against a list of what is known, and says exactly what is wrong with it.
//
// A Section hands out typed values and remembers which keys were asked for; `finish` reports any
// key nobody asked for, with the nearest known one. The first mistake wins. Owned by config.cc.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace perdure::app {

class TomlSection {
 public:
  struct Node;  // hides toml++, whose header is a second of compile time
  explicit TomlSection(std::unique_ptr<Node> node);
  TomlSection(TomlSection&&) noexcept;
  TomlSection& operator=(TomlSection&&) noexcept;
  ~TomlSection();

  /// A mistake in the syntax is an error that names file, line and column.
  static Result<TomlSection> parse_file(const std::string& path);
  /// What a file without a word in it would give.
  static TomlSection empty();

  std::optional<std::string> text(std::string_view key);
  std::optional<std::int64_t> integer(std::string_view key);
  /// A whole or decimal number as text without an exponent, exactly as it was meant.
  std::optional<std::string> decimal(std::string_view key);
  std::optional<bool> boolean(std::string_view key);
  std::vector<std::string> texts(std::string_view key);  ///< empty if absent
  /// [key]; an empty section if absent.
  TomlSection section(std::string_view key);
  bool present() const;
  /// [[key]]
  std::vector<TomlSection> sections(std::string_view key);

  /// "perdure.toml:12: [server] listen", for sentences about a value.
  std::string where(std::string_view key) const;
  /// A value of this section is wrong for a reason found later.
  std::unexpected<Error> wrong(std::string_view key, std::string_view reason) const;

  /// The first mistake of this section and of those made from it, which must not be asked any more.
  Result<void> finish() const;

 private:
  std::unique_ptr<Node> node_;
};

/// The word of `known` that `word` probably meant; empty if none is near.
std::string nearest(std::string_view word, const std::vector<std::string>& known);

}  // namespace perdure::app
