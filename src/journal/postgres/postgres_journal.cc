#include "journal/postgres/postgres_journal.h"

#include "journal/append_check.h"
#include "journal/limits.h"
#include "journal/postgres/append_statement.h"
#include "journal/postgres/opening.h"
#include "journal/postgres/pending_write.h"
#include "journal/postgres/readers.h"
#include "journal/postgres/row_changes.h"
#include "journal/postgres/spend_tables.h"
#include "journal/postgres/writer.h"
#include "journal/postgres/writes.h"

namespace perdure::journal {

using postgres::Length;

struct PostgresJournal::Parts {
  explicit Parts(postgres::Target of) : target(std::move(of)) {}

  postgres::Target target;
  postgres::Interrupt interrupt;
  postgres::StoreIdentity identity;
  std::uint64_t next_outbox_id = 0;        // the loop's
  postgres::GarbageCursor garbage_cursor;  // the writer thread's
  std::unique_ptr<postgres::Writer> writer;
  std::unique_ptr<postgres::Readers> readers;

  template <class Work>
  auto write(ProjectId project, Work work, bool alone = false) {
    return postgres::submit(&writer->queue(), std::move(project), alone, std::move(work));
  }
  template <class T>
  auto read(Length length, postgres::Query<T> query) {
    return postgres::run(readers.get(), length, std::move(query));
  }
};

Result<void> PostgresJournal::check_url(const std::string& url) {
  TRY_VOID(postgres::Target::parse(url));
  return {};
}

Result<std::unique_ptr<PostgresJournal>> PostgresJournal::open(Settings settings, Env& env) {
  using postgres::Durability;
  TRY(target, postgres::Target::parse(settings.url));
  auto parts = std::make_unique<Parts>(std::move(target));
  Durability durability =
      settings.durability_of_database ? Durability::kAsDatabase : Durability::kFull;
  TRY(store, postgres::open_store(parts->target, parts->interrupt, durability, env));
  parts->identity = std::move(store.identity);
  // Ids ascend, and need no counter in the database.
  parts->next_outbox_id = parts->identity.epoch << 32 | 1;
  parts->writer =
      std::make_unique<postgres::Writer>(std::move(store.connection), parts->target,
                                         parts->interrupt, durability, parts->identity.epoch, env);
  parts->readers = std::make_unique<postgres::Readers>(parts->target);
  return std::unique_ptr<PostgresJournal>(new PostgresJournal(std::move(parts)));
}

PostgresJournal::PostgresJournal(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
PostgresJournal::~PostgresJournal() = default;

std::uint64_t PostgresJournal::epoch() const {
  return parts_->identity.epoch;
}
StoreStats PostgresJournal::stats() const {
  return parts_->writer->stats();
}

// Nothing of the store is touched after a `co_await`: a caller may be resumed when the store is
// gone already.

// ---- writing --------------------------------------------------------------------------------

Task<Result<Committed>> PostgresJournal::append(Append append) {
  CO_TRY_VOID(check(append));
  ProjectId project = append.key.project;
  std::uint64_t first_outbox_id = parts_->next_outbox_id;
  parts_->next_outbox_id += append.outbox.size();
  postgres::AppendStatement work(std::move(append), parts_->identity, first_outbox_id);
  CO_TRY(written, co_await parts_->write(project, std::move(work)));
  co_return receipt(written.first, written.head, written.epoch, written.time);
}

Task<Result<Committed>> PostgresJournal::delete_session(SessionKey key, std::uint64_t head) {
  ProjectId project = key.project;
  // Alone: an append beside it may name a blob that seems unreferenced here.
  CO_TRY(written, co_await parts_->write(
                      project, postgres::DeleteSession(std::move(key), head, epoch()), true));
  co_return receipt(written.first, written.head, written.epoch, written.time);
}

Task<Result<std::vector<int>>> PostgresJournal::begin_recovery(std::vector<SessionKey> keys) {
  co_return co_await parts_->write({}, postgres::BeginRecovery(std::move(keys)));
}

Task<Result<Committed>> PostgresJournal::end_recovery(std::vector<SessionKey> keys) {
  CO_TRY(written, co_await parts_->write({}, postgres::EndRecovery(std::move(keys), epoch())));
  co_return receipt(0, 0, written.epoch, written.time);
}

Task<Result<Committed>> PostgresJournal::delete_outbox(std::uint64_t id) {
  CO_TRY(written, co_await parts_->write({}, postgres::DeleteOutbox(id, epoch())));
  co_return receipt(0, 0, written.epoch, written.time);
}

Task<Result<std::size_t>> PostgresJournal::collect_garbage(UnixMillis now) {
  co_return co_await parts_->write({}, postgres::CollectGarbage(now, &parts_->garbage_cursor),
                                   true);
}

Task<Result<std::uint64_t>> PostgresJournal::put_row(Row row, std::uint64_t expected_version) {
  CO_TRY_VOID(check(row));
  ProjectId project = row.project;
  co_return co_await parts_->write(project, postgres::PutRow(std::move(row), expected_version));
}

Task<Result<Committed>> PostgresJournal::write_rows(RowChanges changes) {
  CO_TRY_VOID(check(changes));
  ProjectId project = changes.project;
  CO_TRY(written,
         co_await parts_->write(project, postgres::WriteRows(std::move(changes), epoch())));
  co_return receipt(0, 0, written.epoch, written.time);
}

Task<Result<Committed>> PostgresJournal::delete_row(ProjectId project, std::string kind,
                                                    std::string id) {
  CO_TRY(written, co_await parts_->write(project, postgres::DeleteRow(project, std::move(kind),
                                                                      std::move(id), epoch())));
  co_return receipt(0, 0, written.epoch, written.time);
}

Task<Result<Budget>> PostgresJournal::put_budget(Budget budget) {
  CO_TRY_VOID(check(budget));
  ProjectId project = budget.project;
  // Alone: the sums of a new one may take a while, and its failure is nobody else's.
  co_return co_await parts_->write(project, postgres::PutBudget(std::move(budget)), true);
}

Task<Result<Committed>> PostgresJournal::delete_budget(ProjectId project, BudgetScope scope,
                                                       std::string id) {
  CO_TRY(written, co_await parts_->write(
                      project, postgres::DeleteBudget(project, scope, std::move(id), epoch())));
  co_return receipt(0, 0, written.epoch, written.time);
}

// ---- reading --------------------------------------------------------------------------------

Task<Result<SessionRow>> PostgresJournal::session(SessionKey key) {
  co_return co_await parts_->read(Length::kShort, postgres::read_session(std::move(key)));
}

Task<Result<Loaded>> PostgresJournal::load(SessionKey key, std::uint64_t at) {
  // The newest state is a snapshot and a short tail; an older one may be a long fold.
  Length length = at == ~0ULL ? Length::kShort : Length::kList;
  co_return co_await parts_->read(length, postgres::load(std::move(key), at));
}

Task<Result<std::vector<Entry>>> PostgresJournal::read(EntryQuery query) {
  Length length = query.limit <= kMaxInlineEntries ? Length::kShort : Length::kList;
  co_return co_await parts_->read(length, postgres::read_entries(std::move(query)));
}

Task<Result<std::vector<SessionRow>>> PostgresJournal::list_sessions(SessionQuery query) {
  co_return co_await parts_->read(Length::kList, postgres::list_sessions(std::move(query)));
}

Task<Result<std::vector<SessionRow>>> PostgresJournal::open_sessions(
    std::optional<SessionKey> after, std::size_t limit) {
  co_return co_await parts_->read(Length::kList, postgres::open_sessions(std::move(after), limit));
}

Task<Result<std::vector<EffectRow>>> PostgresJournal::effects(SessionKey key) {
  co_return co_await parts_->read(Length::kShort, postgres::effects(std::move(key)));
}

Task<Result<std::vector<DueTimer>>> PostgresJournal::due_timers(UnixMillis now, std::size_t limit) {
  co_return co_await parts_->read(Length::kList, postgres::due_timers(now, limit));
}

Task<Result<std::optional<UnixMillis>>> PostgresJournal::next_timer() {
  co_return co_await parts_->read(Length::kShort, postgres::next_timer());
}

Task<Result<std::vector<OutboxRow>>> PostgresJournal::outbox(std::size_t limit) {
  co_return co_await parts_->read(Length::kList, postgres::outbox(limit));
}

Task<Result<std::optional<IdempotencyRecord>>> PostgresJournal::find_idempotency(
    IdempotencyScope scope, UnixMillis now) {
  co_return co_await parts_->read(Length::kShort,
                                  postgres::find_idempotency(std::move(scope), now));
}

Task<Result<std::vector<Budget>>> PostgresJournal::budgets(ProjectId project) {
  co_return co_await parts_->read(Length::kList, postgres::budgets(std::move(project)));
}

Task<Result<std::vector<UsageRow>>> PostgresJournal::usage(UsageQuery query) {
  co_return co_await parts_->read(Length::kList, postgres::usage(std::move(query)));
}

Task<Result<std::vector<Reservation>>> PostgresJournal::reservations(SessionKey key) {
  co_return co_await parts_->read(Length::kShort, postgres::reservations(std::move(key)));
}

Task<Result<Row>> PostgresJournal::get_row(ProjectId project, std::string kind, std::string id) {
  co_return co_await parts_->read(
      Length::kShort, postgres::get_row(std::move(project), std::move(kind), std::move(id)));
}

Task<Result<std::vector<Row>>> PostgresJournal::list_rows(RowQuery query) {
  co_return co_await parts_->read(Length::kList, postgres::list_rows(std::move(query)));
}

Task<Result<void>> PostgresJournal::ping() {
  if (auto error = parts_->writer->queue().turned_away()) co_return std::unexpected(*error);
  CO_TRY_VOID(co_await parts_->read(Length::kShort, postgres::next_timer()));
  co_return Result<void>{};
}

}  // namespace perdure::journal
