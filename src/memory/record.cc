#include "memory/record.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/bytes.h"
#include "base/json.h"
#include "memory/limits.h"

namespace perdure::memory {
namespace {

constexpr std::array<std::string_view, 7> kKinds = {
    "episode", "fact", "preference", "instruction", "summary", "reflection", "custom"};
constexpr std::array<std::string_view, 5> kTrusts = {"web", "tool", "agent", "user", "operator"};
constexpr std::array<std::string_view, 4> kRoles = {"user", "agent", "tool", "nobody"};

template <class Enum, std::size_t N>
std::optional<Enum> parse(const std::array<std::string_view, N>& words, std::string_view word) {
  const auto found = std::ranges::find(words, word);
  if (found == words.end()) return std::nullopt;
  return static_cast<Enum>(found - words.begin());
}

std::unexpected<Error> wrong(std::string message, std::string_view param) {
  return fail(ErrorCode::kInvalidArgument, std::move(message), std::string(param));
}

std::unexpected<Error> damaged(const journal::Row& row) {
  return fail(
      ErrorCode::kInternal,
      fmt::format("the memory record '{}' is damaged, or was written by a newer program", row.id));
}

Result<void> check_name(std::string_view name, std::string_view param) {
  if (name.size() > kMaxName)
    return wrong(fmt::format("{} has at most {} bytes.", param, kMaxName), param);
  return {};
}

Result<void> check_links(const std::vector<std::string>& ids, std::string_view param) {
  if (ids.size() > kMaxLinks)
    return wrong(fmt::format("{} names at most {} records.", param, kMaxLinks), param);
  return {};
}

json::array to_json(const std::vector<std::string>& ids) {
  return json::array(ids.begin(), ids.end());
}

std::vector<std::string> ids_in(const json::object& body, std::string_view key) {
  std::vector<std::string> ids;
  for (const json::value& one : get_array(body, key))
    if (one.is_string()) ids.emplace_back(as_view(one.get_string()));
  return ids;
}

std::optional<UnixMillis> time_in(const json::object& body, std::string_view key) {
  const json::value* value = find(body, key);
  if (!value || !value->is_int64()) return std::nullopt;
  return value->get_int64();
}

bool is_name_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("_.@+-").contains(c);
}

}  // namespace

std::string_view to_string(Kind kind) {
  return kKinds[static_cast<std::size_t>(kind)];
}
std::optional<Kind> parse_kind(std::string_view word) {
  return parse<Kind>(kKinds, word);
}
bool is_standing(Kind kind) {
  return kind == Kind::kInstruction || kind == Kind::kPreference;
}
std::string_view to_string(Trust trust) {
  return kTrusts[static_cast<std::size_t>(trust)];
}
std::optional<Trust> parse_trust(std::string_view word) {
  return parse<Trust>(kTrusts, word);
}
std::string_view to_string(Speaking role) {
  return kRoles[static_cast<std::size_t>(role)];
}
std::optional<Speaking> parse_role(std::string_view word) {
  return parse<Speaking>(kRoles, word);
}

std::string to_body(const Record& record) {
  json::object metadata;
  for (const auto& [key, value] : record.metadata) metadata[key] = value;
  json::array evidence;
  for (const Evidence& one : record.evidence)
    evidence.push_back(json::object{{"session", one.session},
                                    {"first", one.first},
                                    {"last", one.last},
                                    {"trust", to_string(one.trust)}});
  json::object body{{"v", 1},
                    {"namespace", record.namespace_},
                    {"kind", to_string(record.kind)},
                    {"text", record.text},
                    {"metadata", std::move(metadata)},
                    {"subject", record.subject},
                    {"conversation", record.conversation},
                    {"speaker", record.speaker},
                    {"role", to_string(record.role)},
                    {"trust", to_string(record.trust)},
                    {"recorded", record.recorded},
                    {"confirmed", record.confirmed},
                    {"supersedes", to_json(record.supersedes)},
                    {"sources", to_json(record.sources)},
                    {"evidence", std::move(evidence)}};
  if (record.valid_from) body["valid_from"] = *record.valid_from;
  if (record.valid_to) body["valid_to"] = *record.valid_to;
  return serialize(body);
}

Result<Record> from_row(const journal::Row& row) {
  TRY(value, parse_json(row.body));
  if (!value.is_object() || get_int(value.get_object(), "v") != 1) return damaged(row);
  const json::object& body = value.get_object();
  const auto kind = parse_kind(get_string(body, "kind"));
  const auto trust = parse_trust(get_string(body, "trust"));
  const auto role = parse_role(get_string(body, "role"));
  if (!kind || !trust || !role || !is_namespace(get_string(body, "namespace"))) return damaged(row);
  Record record{.id = row.id,
                .namespace_ = std::string(get_string(body, "namespace")),
                .kind = *kind,
                .text = std::string(get_string(body, "text")),
                .metadata = {},
                .subject = std::string(get_string(body, "subject")),
                .conversation = std::string(get_string(body, "conversation")),
                .speaker = std::string(get_string(body, "speaker")),
                .role = *role,
                .trust = *trust,
                .recorded = get_int(body, "recorded", row.created),
                .valid_from = time_in(body, "valid_from"),
                .valid_to = time_in(body, "valid_to"),
                .confirmed = get_int(body, "confirmed", row.created),
                .supersedes = ids_in(body, "supersedes"),
                .sources = ids_in(body, "sources"),
                .evidence = {}};
  for (const auto& [key, text] : get_object(body, "metadata"))
    if (text.is_string())
      record.metadata.emplace(std::string_view(key), as_view(text.get_string()));
  for (const json::value& one : get_array(body, "evidence")) {
    if (!one.is_object()) return damaged(row);
    const json::object& span = one.get_object();
    // A trust that is not known must not make it more trusted.
    record.evidence.push_back(
        {.session = std::string(get_string(span, "session")),
         .first = static_cast<std::uint64_t>(get_int(span, "first")),
         .last = static_cast<std::uint64_t>(get_int(span, "last")),
         .trust = parse_trust(get_string(span, "trust")).value_or(Trust::kWeb)});
  }
  return record;
}

Trust trust_of(const Record& record, Trust claimed) {
  for (const Evidence& one : record.evidence) claimed = std::min(claimed, one.trust);
  return claimed;
}

Result<void> check(const Record& record) {
  if (record.text.empty()) return wrong("A record has a text.", "text");
  if (record.text.size() > kMaxText)
    return wrong(fmt::format("A text has at most {} bytes.", kMaxText), "text");
  if (!is_valid_utf8(record.text)) return wrong("The text is not valid UTF-8.", "text");
  if (!is_namespace(record.namespace_))
    return wrong("A namespace is '/', or names between slashes, such as '/users/ann/'.",
                 "namespace");
  TRY_VOID(check_name(record.subject, "subject"));
  TRY_VOID(check_name(record.conversation, "conversation"));
  TRY_VOID(check_name(record.speaker, "speaker"));
  if (record.metadata.size() > kMaxMetadataPairs)
    return wrong(fmt::format("metadata has at most {} pairs.", kMaxMetadataPairs), "metadata");
  for (const auto& [key, value] : record.metadata)
    if (key.size() > kMaxMetadataKey || value.size() > kMaxMetadataValue)
      return wrong(fmt::format("A key of metadata has at most {} bytes, a value {}.",
                               kMaxMetadataKey, kMaxMetadataValue),
                   "metadata");
  TRY_VOID(check_links(record.supersedes, "supersedes"));
  TRY_VOID(check_links(record.sources, "sources"));
  if (record.evidence.size() > kMaxLinks)
    return wrong(fmt::format("A record has at most {} spans of evidence.", kMaxLinks), "evidence");
  for (const Evidence& one : record.evidence)
    if (!is_session_id(one.session) || one.first == 0 || one.last < one.first)
      return wrong("Evidence names a session and a range of its entries, from 1.", "evidence");
  if (record.valid_from && record.valid_to && *record.valid_to <= *record.valid_from)
    return wrong("valid_to comes after valid_from.", "valid_to");
  if (is_standing(record.kind) && record.trust < Trust::kUser)
    return wrong(fmt::format("An {} comes from a user or an operator, never from what a {} said.",
                             to_string(record.kind), to_string(record.trust)),
                 "kind");
  return {};
}

bool is_namespace(std::string_view text) {
  if (text.empty() || text.size() > kMaxName || text.front() != '/' || text.back() != '/')
    return false;
  bool name_before = true;  // the first slash needs none
  for (const char c : text) {
    if (c == '/') {
      if (!name_before) return false;
      name_before = false;
    } else if (is_name_letter(c)) {
      name_before = true;
    } else {
      return false;
    }
  }
  return true;
}

Result<std::string> expand_namespace(std::string_view pattern, std::string_view actor) {
  constexpr std::string_view kActor = "{actor}";
  std::string text(pattern);
  for (std::size_t at = 0; (at = text.find(kActor, at)) != text.npos; at += actor.size()) {
    if (actor.empty() || !std::ranges::all_of(actor, is_name_letter))
      return wrong("The namespace names an actor: give one, of letters, digits and _.@+- only.",
                   "actor");
    text.replace(at, kActor.size(), actor);
  }
  if (!text.ends_with('/')) text += '/';
  if (!is_namespace(text))
    return wrong("A namespace is '/', or names between slashes, such as '/users/{actor}/'.",
                 "namespace");
  return text;
}

}  // namespace perdure::memory
