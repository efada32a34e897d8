// The tables `search_session`, `search_item` and the full-text index `search_text` of a store. Each
// function runs inside the caller's transaction and throws DatabaseError when a statement fails.
#pragma once

#include <optional>
#include <vector>

#include "journal/search.h"
#include "journal/sqlite/database.h"

namespace perdure::journal::sqlite {

std::vector<SearchLag> search_lag(Connection& connection, const std::optional<ProjectId>& of,
                                  const std::optional<SessionKey>& after, std::size_t limit);
std::vector<SearchLag> search_lag_of(Connection& connection, std::vector<SessionKey> keys);
void index_items(Connection& connection, const std::vector<SearchUpdate>& updates);
/// What a deletion adds.
void forget_search(Connection& connection, const SessionKey& key);
FoundItems find_items(Connection& connection, const SearchQuery& query);

}  // namespace perdure::journal::sqlite
