// What a store keeps so that earlier sessions can be searched: one row per message, call or result.
//
// The rows are a projection of the journal, made by engine::SearchIndex and never the truth: each
// session has a durable position, `through`, up to which its entries are indexed, so nothing is
// lost when the process dies between an append and its indexing. Values; limits in limits.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/env.h"
#include "base/ids.h"
#include "journal/viewer.h"

namespace perdure::journal {

enum class SearchKind : std::uint8_t { kUser = 0, kAssistant = 1, kToolCall = 2, kToolResult = 3 };

struct SearchItem {
  Place place;  ///< the entry, and which of its things
  std::uint64_t turn = 0;
  SearchKind kind = SearchKind::kUser;
  std::string item;  ///< its id on the wire
  UnixMillis time = 0;
  std::string text;  ///< valid UTF-8 without NUL, at most kMaxSearchText
};

/// How far the index of a session is behind.
struct SearchLag {
  SessionKey key;
  std::uint64_t through = 0;
  std::uint64_t head = 0;
};

/// The items of the entries `from` + 1 … `through` of a session.
struct SearchUpdate {
  SessionKey key;
  std::string agent;  ///< where `from` is 0
  std::uint64_t from = 0;
  std::uint64_t through = 0;
  std::vector<SearchItem> items;
};

struct SearchQuery {
  ProjectId project;
  std::vector<std::string> terms;         ///< of search_terms.h, distinct, at least one
  std::optional<std::string> agent;       ///< only sessions of this agent
  std::optional<std::string> workstream;  ///< only sessions of this workstream
  std::optional<std::string> but;         ///< not this session
  std::optional<Viewer> viewer;           ///< only what it may see; nullopt: everything
  std::size_t per_list = 0;               ///< see JournalStore::find_items
};

struct FoundItem {
  SessionId session;
  std::string agent;
  std::optional<std::string> workstream;
  SearchItem item;
};

struct FoundItems {
  std::vector<FoundItem> items;  ///< each once, put_in_order
  /// How many items have each of the terms, at most per_list; in the order of SearchQuery::terms.
  std::vector<std::size_t> counts;
};

/// By session and place.
void put_in_order(FoundItems* found);

}  // namespace perdure::journal
