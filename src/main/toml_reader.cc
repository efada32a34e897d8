#include "main/toml_reader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>

#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_UNRELEASED_FEATURES 0
#include <toml++/toml.h>

namespace perdure::app {
namespace {

/// One file being read: sections share it, so that the first mistake of any of them is kept.
struct Document {
  std::string file;
  toml::table root;
  std::optional<Error> error;
};

std::string_view type_name(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::string:
      return "a string";
    case toml::node_type::integer:
      return "a whole number";
    case toml::node_type::floating_point:
      return "a number";
    case toml::node_type::boolean:
      return "true or false";
    case toml::node_type::array:
      return "a list";
    case toml::node_type::table:
      return "a table";
    default:
      return "a date or time";
  }
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, replaced}));
    }
  }
  return row.back();
}

}  // namespace

struct TomlSection::Node {
  std::shared_ptr<Document> document;
  const toml::table* table = nullptr;  ///< nullptr: the section is absent
  std::string title;                   ///< "[server]", "[[model]]", empty for the file itself
  std::vector<std::string> known;

  const toml::node* find(std::string_view key) {
    known.emplace_back(key);
    return table ? table->get(key) : nullptr;
  }
  std::string where(std::string_view key, const toml::node* node) const {
    const auto line = node ? node->source().begin.line : table ? table->source().begin.line : 0;
    return fmt::format("{}:{}: {}{}{}", document->file, line, title, title.empty() ? "" : " ", key);
  }
  void complain(std::string message) {
    if (!document->error) document->error = Error{ErrorCode::kInvalidArgument, std::move(message)};
  }
  void wrong_type(std::string_view key, const toml::node& node, std::string_view expected) {
    complain(fmt::format("{} must be {}, not {}", where(key, &node), expected, type_name(node)));
  }
};

TomlSection::TomlSection(std::unique_ptr<Node> node) : node_(std::move(node)) {}
TomlSection::TomlSection(TomlSection&&) noexcept = default;
TomlSection& TomlSection::operator=(TomlSection&&) noexcept = default;
TomlSection::~TomlSection() = default;

Result<TomlSection> TomlSection::parse_file(const std::string& path) {
  toml::parse_result parsed = toml::parse_file(path);
  if (!parsed) {
    const toml::parse_error& error = parsed.error();
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("{}:{}:{}: {}", path, error.source().begin.line,
                            error.source().begin.column, error.description()));
  }
  auto document = std::make_shared<Document>(Document{path, std::move(parsed).table(), {}});
  auto node = std::make_unique<Node>();
  node->table = &document->root;
  node->document = std::move(document);
  return TomlSection(std::move(node));
}

TomlSection TomlSection::empty() {
  auto node = std::make_unique<Node>();
  node->document = std::make_shared<Document>();
  return TomlSection(std::move(node));
}

std::optional<std::string> TomlSection::text(std::string_view key) {
  const toml::node* node = node_->find(key);
  if (!node) return std::nullopt;
  if (const auto* value = node->as_string()) return value->get();
  node_->wrong_type(key, *node, "a string");
  return std::nullopt;
}

std::optional<std::int64_t> TomlSection::integer(std::string_view key) {
  const toml::node* node = node_->find(key);
  if (!node) return std::nullopt;
  if (const auto* value = node->as_integer()) return value->get();
  node_->wrong_type(key, *node, "a whole number");
  return std::nullopt;
}

std::optional<std::string> TomlSection::decimal(std::string_view key) {
  const toml::node* node = node_->find(key);
  if (!node) return std::nullopt;
  if (const auto* whole = node->as_integer()) return fmt::format("{}", whole->get());
  if (const auto* value = node->as_floating_point(); value && std::isfinite(value->get())) {
    // The shortest text that is read as this number again: what was written, up to 15 digits.
    char text[512];
    const auto end =
        std::to_chars(text, text + sizeof text, value->get(), std::chars_format::fixed);
    return std::string(text, end.ptr);
  }
  node_->wrong_type(key, *node, "a number");
  return std::nullopt;
}

bool TomlSection::present() const {
  return node_->table != nullptr;
}

std::optional<bool> TomlSection::boolean(std::string_view key) {
  const toml::node* node = node_->find(key);
  if (!node) return std::nullopt;
  if (const auto* value = node->as_boolean()) return value->get();
  node_->wrong_type(key, *node, "true or false");
  return std::nullopt;
}

std::vector<std::string> TomlSection::texts(std::string_view key) {
  const toml::node* node = node_->find(key);
  if (!node) return {};
  const toml::array* array = node->as_array();
  if (!array) {
    node_->wrong_type(key, *node, "a list of strings");
    return {};
  }
  std::vector<std::string> texts;
  for (const toml::node& element : *array) {
    if (const auto* value = element.as_string())
      texts.push_back(value->get());
    else
      node_->wrong_type(key, element, "a list of strings");
  }
  return texts;
}

TomlSection TomlSection::section(std::string_view key) {
  const toml::node* node = node_->find(key);
  auto made = std::make_unique<Node>();
  made->document = node_->document;
  made->title = fmt::format("[{}]", key);
  if (node && !node->is_table())
    node_->wrong_type(key, *node, fmt::format("a table, written [{}]", key));
  if (node) made->table = node->as_table();
  return TomlSection(std::move(made));
}

std::vector<TomlSection> TomlSection::sections(std::string_view key) {
  const toml::node* node = node_->find(key);
  if (!node) return {};
  std::vector<TomlSection> made;
  const std::string expected = fmt::format("a list of tables, each written [[{}]]", key);
  const toml::array* array = node->as_array();
  if (!array) {
    node_->wrong_type(key, *node, expected);
    return {};
  }
  for (const toml::node& element : *array) {
    if (!element.is_table()) {
      node_->wrong_type(key, element, expected);
      return {};
    }
    auto section = std::make_unique<Node>();
    section->document = node_->document;
    section->title = fmt::format("[[{}]]", key);
    section->table = element.as_table();
    made.emplace_back(std::move(section));
  }
  return made;
}

std::string TomlSection::where(std::string_view key) const {
  return node_->where(key, node_->table ? node_->table->get(key) : nullptr);
}

std::unexpected<Error> TomlSection::wrong(std::string_view key, std::string_view reason) const {
  return fail(ErrorCode::kInvalidArgument, fmt::format("{} {}", where(key), reason));
}

Result<void> TomlSection::finish() const {
  if (node_->document->error) return std::unexpected(*node_->document->error);
  if (!node_->table) return {};
  for (const auto& [key, value] : *node_->table) {
    const std::string word(key.str());
    if (std::find(node_->known.begin(), node_->known.end(), word) != node_->known.end()) continue;
    const std::string meant = nearest(word, node_->known);
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("{} is not a known key{} (known here: {})", node_->where(word, &value),
                            meant.empty() ? "" : fmt::format(": did you mean '{}'?", meant),
                            fmt::join(node_->known, ", ")));
  }
  return {};
}

std::string nearest(std::string_view word, const std::vector<std::string>& known) {
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(word.size() / 3, 1) + 1;
  for (const std::string& candidate : known) {
    const std::size_t distance = edit_distance(word, candidate);
    if (distance < best_distance) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

}  // namespace perdure::app
