// The tables `search_session` and `search_item` of a store: the write that adds to them, and the
// queries. Values and text; they know nothing of connections and threads.
#pragma once

#include <optional>
#include <vector>

#include "journal/postgres/reads.h"
#include "journal/postgres/writes.h"
#include "journal/search.h"

namespace perdure::journal::postgres {

/// Goes into a transaction of its own: nodes that index the same sessions wait for each other, and
/// must not make others wait.
class IndexItems {
 public:
  explicit IndexItems(std::vector<SearchUpdate> updates) : updates_(std::move(updates)) {}
  Statement statement(UnixMillis now) const;
  Result<bool> answer(std::string_view outcome, UnixMillis now, StoreStats& counted) const;

 private:
  std::vector<SearchUpdate> updates_;
};

Query<std::vector<SearchLag>> search_lag(std::optional<ProjectId> of,
                                         std::optional<SessionKey> after, std::size_t limit);
Query<std::vector<SearchLag>> search_lag_of(const std::vector<SessionKey>& keys);
Query<FoundItems> find_items(SearchQuery wanted);

}  // namespace perdure::journal::postgres
