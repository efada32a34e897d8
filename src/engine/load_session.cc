#include "engine/load_session.h"

#include <algorithm>

#include "base/log.h"
#include "engine/fold.h"

namespace perdure::engine {
namespace {

async::Task<Result<SessionState>> fold_from_the_first_entry(journal::JournalStore* journal,
                                                            SessionKey key, std::uint64_t until) {
  SessionState state;
  state.key = key;
  journal::EntryQuery query{.key = std::move(key), .until = until};
  while (true) {
    CO_TRY(entries, co_await journal->read(query));
    if (entries.empty()) co_return state;
    for (const journal::Entry& entry : entries) CO_TRY_VOID(apply(state, entry));
    query.after = entries.back().seq;
  }
}

SessionState unreadable(const journal::SessionRow& row) {
  SessionState state;
  state.key = row.key;
  state.created = row.created;
  state.last_active = row.created;
  state.head = row.head;
  state.snapshot_seq = row.head;
  state.error = {"internal_error",
                 "The session's log cannot be read by this server. It is kept as it is."};
  return state;
}

}  // namespace

async::Task<Result<StoredSession>> load_session(journal::JournalStore* journal, SessionKey key,
                                                std::uint64_t at) {
  CO_TRY(loaded, co_await journal->load(key, at));
  if (loaded.row.deleted) co_return fail(ErrorCode::kNotFound, "There is no such session.");
  std::uint64_t until = std::min(at, loaded.row.head);
  Result<SessionState> state = fold(loaded);
  if (!state && loaded.snapshot) {
    log::warn("a snapshot was passed over",
              {{"session", key.session.value}, {"why", state.error().message}});
    state = co_await fold_from_the_first_entry(journal, key, until);
    if (!state && state.error().code != ErrorCode::kInternal)
      co_return std::unexpected(state.error());
  }
  bool whole = state && (until < loaded.row.head || state->head == until);
  if (whole) co_return StoredSession{std::move(loaded.row), std::move(*state), true};
  log::error("a session's log cannot be read",
             {{"session", key.session.value},
              {"why", state ? "its newest entries are missing" : state.error().message}});
  SessionState failed = unreadable(loaded.row);
  co_return StoredSession{std::move(loaded.row), std::move(failed), false};
}

}  // namespace perdure::engine
