// A memory record: one thing remembered, with its kind, its times and its origin.
//
// Records are added, never changed: what is no longer true is *superseded* by a later record, and
// stays findable as what was known then. Four times: `recorded` (when the server learned it),
// `valid_from` and `valid_to` (when it is true in the world), `confirmed` (when it was last said to
// be true). Trust is that of the least trusted evidence and cannot be raised by summarising.
// Values.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/env.h"
#include "base/error.h"
#include "journal/journal.h"
#include "memory/namespace_index.h"

namespace perdure::memory {

enum class Kind : std::uint8_t {
  kEpisode,
  kFact,
  kPreference,
  kInstruction,
  kSummary,
  kReflection,
  kCustom
};
/// "episode" …: as stored, and on the wire.
std::string_view to_string(Kind kind);
std::optional<Kind> parse_kind(std::string_view word);
/// Instructions and preferences: what an agent is told always, not only when it asks.
bool is_standing(Kind kind);

/// Whose word it is, from the least to the most trusted.
enum class Trust : std::uint8_t { kWeb, kTool, kAgent, kUser, kOperator };
std::string_view to_string(Trust trust);
std::optional<Trust> parse_trust(std::string_view word);

std::string_view to_string(Speaking role);
std::optional<Speaking> parse_role(std::string_view word);

/// Entries of a session's journal that say it.
struct Evidence {
  std::string session;
  std::uint64_t first = 0;  ///< seq, inclusive
  std::uint64_t last = 0;
  Trust trust = Trust::kUser;
};

struct Record {
  std::string id;          ///< given by the store
  std::string namespace_;  ///< "/users/ann/": begins and ends with a slash
  Kind kind = Kind::kFact;
  std::string text;
  std::map<std::string, std::string> metadata;
  std::string subject;       ///< whom it is about, for erasure; may be empty
  std::string conversation;  ///< whose neighbours it ranks with; may be empty
  std::string speaker;
  Speaking role = Speaking::kNobody;
  Trust trust = Trust::kUser;
  UnixMillis recorded = 0;
  std::optional<UnixMillis> valid_from, valid_to;
  UnixMillis confirmed = 0;
  std::vector<std::string> supersedes;  ///< ids of records of this store
  std::vector<std::string> sources;     ///< ids of those it was made from
  std::vector<Evidence> evidence;
};

inline constexpr std::string_view kRecordRow = "memory_record";

/// The row's body.
std::string to_body(const Record& record);
/// kInternal for what is damaged or newer.
Result<Record> from_row(const journal::Row& row);

/// Its trust from what it rests on: the lowest of `claimed` and the evidence's.
Trust trust_of(const Record& record, Trust claimed);

/// kInvalidArgument with the member's name as `param`: text, namespace, times and lists within the
/// limits, and no standing record from a tool's output or the web.
Result<void> check(const Record& record);

/// Whether it is a namespace: "/", or names of [A-Za-z0-9_.@+-] between slashes.
bool is_namespace(std::string_view text);
/// "/users/{actor}/" with the actor's name. kInvalidArgument, param "namespace", where the result
/// is none, or the actor is missing.
Result<std::string> expand_namespace(std::string_view pattern, std::string_view actor);

}  // namespace perdure::memory
