#include "engine/search_index.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "engine/bounded_text.h"
#include "engine/limits.h"
#include "engine/search_rank.h"
#include "journal/limits.h"
#include "journal/search_terms.h"

namespace perdure::engine {
namespace {

using journal::SearchLag;
using journal::SearchUpdate;

constexpr SearchTextBounds kIndexed{kSearchedMessageBytes, kSearchedCallBytes};
static_assert(kSearchedMessageBytes <= journal::kMaxSearchText &&
              kSearchedCallBytes <= journal::kMaxSearchText);
/// Of one page of a log. A page makes fewer items than one write to the index may have.
constexpr std::size_t kEntriesAtOnce = 64;
constexpr std::size_t kBytesAtOnce = 1 << 20;

SearchHit hit_of(const journal::FoundItem& one, double score,
                 const std::vector<std::string>& terms) {
  return {.session = one.session.value,
          .turn = local_id("turn", one.session, {one.item.turn, 0}),
          .item = one.item.item,
          .kind = one.item.kind,
          .agent = one.agent,
          .workstream = one.workstream,
          .snippet = snippet(one.item.text, terms),
          .score = score,
          .time = one.item.time};
}

}  // namespace

SearchIndex::SearchIndex(async::Executor executor, journal::JournalStore& journal,
                         const cluster::Ownership* ownership)
    : journal_(journal), ownership_(ownership), indexing_(executor, 1), wake_(executor) {}

// ---- asking -----------------------------------------------------------------------------------

Task<Result<SearchHits>> SearchIndex::search(SearchQuestion question) {
  if (question.words.size() > kMaxQuestionBytes)
    co_return fail(ErrorCode::kInvalidArgument,
                   fmt::format("What is looked for has at most {} bytes, this has {}.",
                               kMaxQuestionBytes, question.words.size()),
                   "q");
  const std::vector<std::string> terms = journal::query_terms(question.words);
  if (terms.empty())
    co_return fail(ErrorCode::kInvalidArgument, "There is no word to look for.", "q");
  CO_TRY(complete, co_await catch_up(question.project));
  journal::SearchQuery query{.project = std::move(question.project),
                             .terms = terms,
                             .agent = std::move(question.agent),
                             .workstream = std::move(question.workstream),
                             .per_list = kSearchCandidates};
  if (question.but) query.but = std::move(question.but->value);
  query.viewer = std::move(question.viewer);
  CO_TRY(found, co_await journal_.find_items(std::move(query)));

  const std::vector<Ranked> ranked = rank(found, terms);
  auto at = ranked.begin();
  if (question.after) {
    at = std::ranges::find_if(ranked, [&](const Ranked& one) {
      return found.items[one.index].item.item == *question.after;
    });
    if (at == ranked.end())
      co_return fail(ErrorCode::kInvalidArgument,
                     "after must be the item of the last result of the page before.", "after");
    ++at;
  }
  SearchHits hits{.complete = complete};
  for (; at != ranked.end() && hits.data.size() < question.limit; ++at)
    hits.data.push_back(hit_of(found.items[at->index], at->score, terms));
  hits.has_more = at != ranked.end();
  co_return hits;
}

Task<Result<ReadTurn>> SearchIndex::read_turn(SessionKey key, std::string turn,
                                              std::size_t most_bytes) {
  const auto place = parse_local_id(turn, "turn", key.session);
  ReadTurn read;
  SearchReader reader(key.session, {most_bytes, most_bytes});
  std::uint64_t after = place ? place->seq - std::min<std::uint64_t>(place->seq, 1) : 0;
  std::size_t bytes = 0;
  std::vector<journal::Kind> kinds = SearchReader::kinds();
  kinds.push_back(journal::kTurnCreated);
  kinds.push_back(journal::kTurnEnded);
  for (bool there = false, ended = false; !ended;) {
    journal::EntryQuery query{.key = key, .after = after, .limit = kEntriesAtOnce};
    query.max_bytes = kBytesAtOnce;
    query.kinds = kinds;
    CO_TRY(entries, co_await journal_.read(std::move(query)));
    if (!there && (!place || entries.empty() || entries.front().seq != place->seq ||
                   entries.front().kind != journal::kTurnCreated))
      co_return fail(ErrorCode::kNotFound, "There is no such turn.", "turn_id");
    there = true;
    ended = entries.empty();
    for (const journal::Entry& entry : entries) {
      after = entry.seq;
      if (entry.kind == journal::kTurnEnded) ended = true;
      if (ended) break;
      CO_TRY_VOID(reader.add(entry));
    }
    for (journal::SearchItem& item : reader.take()) {
      if (item.turn != place->seq) continue;
      read.cut = read.cut || bytes + item.text.size() > most_bytes;
      if (read.cut) item.text = bounded_text(item.text, most_bytes - bytes);
      bytes += item.text.size();
      if (!item.text.empty()) read.items.push_back(std::move(item));
      if (read.cut) co_return read;
    }
  }
  co_return read;
}

Task<Result<std::optional<std::string>>> SearchIndex::workstream_of(SessionKey key) {
  CO_TRY(row, co_await journal_.session(key));
  if (row.deleted) co_return fail(ErrorCode::kNotFound, "There is no such session.");
  co_return std::move(row.workstream);
}

Task<Result<bool>> SearchIndex::may_see(SessionKey key, journal::Viewer viewer) {
  CO_TRY(workstream, co_await workstream_of(key));
  co_return co_await journal::may_see(&journal_, std::move(key.project), std::move(workstream),
                                      std::move(viewer));
}

// ---- keeping up -------------------------------------------------------------------------------

/// Whether the index has all that the project's sessions had when it was called.
Task<Result<bool>> SearchIndex::catch_up(ProjectId project) {
  std::map<SessionKey, std::uint64_t> heads;
  for (int look = 0; look < kSearchWaits; ++look) {
    if (look > 1) co_await async::sleep_for(kSearchWaitMs);
    if (ending_) co_return false;
    auto turn = co_await indexing_.acquire();
    CO_TRY(behind, co_await journal_.search_lag(project, std::nullopt, kMaxCaughtUp + 1));
    const bool too_many = behind.size() > kMaxCaughtUp;
    if (too_many) behind.pop_back();
    if (look == 0)
      for (const SearchLag& one : behind) heads.emplace(one.key, one.head);
    // What came later is a later search's.
    std::erase_if(behind, [&](const SearchLag& one) {
      auto head = heads.find(one.key);
      return head == heads.end() || one.through >= head->second || unreadable_.contains(one.key);
    });
    if (behind.empty()) co_return !too_many;
    if (auto done = co_await index(std::move(behind)); !done) {
      // A full disk takes nothing new; what is there is found all the same.
      if (done.error().retryable()) co_return false;
      co_return std::unexpected(std::move(done).error());
    }
    if (too_many) {
      sweep();
      co_return false;
    }
  }
  co_return false;
}

void SearchIndex::note(const SessionKey& key) {
  if (noted_.size() >= kMaxNoted) {
    noted_.clear();
    sweep_ = true;
  }
  noted_.insert(key);
  if (noted_.size() == 1) wake_.notify();
}

void SearchIndex::sweep() {
  sweep_ = true;
  wake_.notify();
}

Task<> SearchIndex::run() {
  running_ = true;
  while (!ending_) {
    if (noted_.empty() && !sweep_) co_await wake_.wait();
    if (!ending_) co_await wake_.wait(kIndexAfterMs);
    if (ending_) break;
    Result<void> done;
    if (std::exchange(sweep_, false)) {
      done = co_await sweep_all();
      if (!done) sweep_ = true;
    }
    while (done && !noted_.empty() && !ending_) {
      std::vector<SessionKey> keys;
      while (!noted_.empty() && keys.size() < journal::kMaxSearchUpdates)
        keys.push_back(std::move(noted_.extract(noted_.begin()).value()));
      done = co_await index_these(keys);
      if (!done) noted_.insert(keys.begin(), keys.end());
      if (done && !noted_.empty()) co_await wake_.wait(kIndexPauseMs);
    }
    if (!done)
      log::debug("the search index is behind, and will be tried again",
                 {{"why", done.error().message}});
  }
  running_ = false;
}

Task<> SearchIndex::drain() {
  ending_ = true;
  wake_.notify();
  while (running_) co_await async::sleep_for(5);
}

Task<Result<void>> SearchIndex::index_these(std::vector<SessionKey> keys) {
  auto turn = co_await indexing_.acquire();
  CO_TRY(behind, co_await journal_.search_lag_of(std::move(keys)));
  co_return co_await index(std::move(behind));
}

/// Pages through all sessions, so that what cannot be indexed here does not hold up the rest.
Task<Result<void>> SearchIndex::sweep_all() {
  std::optional<SessionKey> after;
  while (!ending_) {
    auto turn = co_await indexing_.acquire();
    CO_TRY(behind, co_await journal_.search_lag(std::nullopt, after, journal::kMaxSearchUpdates));
    if (behind.empty()) break;
    after = behind.back().key;
    CO_TRY_VOID(co_await index(std::move(behind)));
    co_await wake_.wait(kIndexPauseMs);
  }
  co_return Result<void>{};
}

Task<Result<void>> SearchIndex::index(std::vector<SearchLag> behind) {
  // A session has one writer, also of its index: else a deletion might be overtaken.
  if (ownership_)
    std::erase_if(behind, [&](const SearchLag& one) { return !ownership_->may_use(one.key); });
  std::vector<SearchUpdate> updates;
  std::size_t items = 0;
  for (std::size_t i = 0; i < behind.size() && !ending_;) {
    SearchLag& lag = behind[i];
    auto update = co_await read_update(lag);
    if (!update) {
      // Deleted meanwhile, or damaged: the others are found all the same.
      if (update.error().code != ErrorCode::kNotFound &&
          update.error().code != ErrorCode::kInternal)
        co_return std::unexpected(std::move(update).error());
      if (update.error().code == ErrorCode::kInternal && unreadable_.insert(lag.key).second)
        log::warn("a session cannot be searched",
                  {{"session", lag.key.session.value}, {"why", update.error().message}});
      ++i;
      continue;
    }
    lag.through = update->through;
    const bool whole = lag.through >= lag.head;
    // One session is in a write once, and a write is bounded.
    const bool full = updates.size() == journal::kMaxSearchUpdates ||
                      items + update->items.size() > journal::kMaxSearchItems ||
                      (!updates.empty() && updates.back().key == update->key);
    if (full) {
      CO_TRY_VOID(co_await journal_.index_items(std::exchange(updates, {})));
      items = 0;
    }
    items += update->items.size();
    updates.push_back(std::move(*update));
    if (whole) ++i;
  }
  if (!updates.empty()) CO_TRY_VOID(co_await journal_.index_items(std::move(updates)));
  co_return Result<void>{};
}

Task<Result<SearchUpdate>> SearchIndex::read_update(SearchLag lag) {
  SearchUpdate update{.key = lag.key, .from = lag.through};
  journal::EntryQuery query{.key = lag.key, .after = lag.through, .until = lag.head};
  query.limit = kEntriesAtOnce;
  query.max_bytes = kBytesAtOnce;
  query.kinds = SearchReader::kinds();
  CO_TRY(entries, co_await journal_.read(std::move(query)));
  SearchReader reader(lag.key.session, kIndexed);
  CO_TRY_VOID(co_await learn_calls(&reader, lag.key, &entries));
  update.through = lag.head;
  std::size_t bytes = 0, items = 0;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const journal::Entry& entry = entries[i];
    CO_TRY_VOID(reader.add(entry));
    for (journal::SearchItem& item : reader.take()) {
      ++items;
      if (items <= journal::kMaxSearchItems) update.items.push_back(std::move(item));
    }
    bytes += entry.body.size();
    const bool more =
        i + 1 < entries.size() || entries.size() == kEntriesAtOnce || bytes >= kBytesAtOnce;
    // A full page, or one item short of a full write: what follows is another update's.
    if (more && (i + 1 == entries.size() || items > journal::kMaxSearchItems / 2)) {
      update.through = entry.seq;
      break;
    }
  }
  if (update.from == 0) update.agent = reader.agent();
  co_return update;
}

/// Results say which call they are of, not which tool's: calls of earlier updates are read again.
Task<Result<void>> SearchIndex::learn_calls(SearchReader* reader, SessionKey key,
                                            const std::vector<journal::Entry>* entries) {
  if (entries->empty()) co_return Result<void>{};
  SearchReader known(key.session, {});
  std::uint64_t first = entries->front().seq;
  for (const journal::Entry& entry : *entries) {
    std::uint64_t turn = entry.seq;
    CO_TRY_VOID(known.note_calls(entry));
    CO_TRY(knows, known.knows_call_of(entry, &turn));
    if (!knows) first = std::min(first, turn);
  }
  for (std::uint64_t after = first; after < entries->front().seq;) {
    journal::EntryQuery query{.key = key, .after = after, .until = entries->front().seq - 1};
    query.limit = kEntriesAtOnce;
    query.max_bytes = kBytesAtOnce;
    query.kinds = {journal::kModelCallFinished};
    CO_TRY(calls, co_await journal_.read(std::move(query)));
    if (calls.empty()) break;
    for (const journal::Entry& entry : calls) CO_TRY_VOID(reader->note_calls(entry));
    after = calls.back().seq;
  }
  co_return Result<void>{};
}

}  // namespace perdure::engine
