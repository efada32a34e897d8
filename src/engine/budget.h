// Money: what a model call may cost is put aside before it starts, what it did cost is charged when
// it ends.
//
// `Budgets` is the engine's ledger: the budgets of every project that works, as the store has them,
// and the holds of appends under way. It belongs to the engine and lives on its loop. A call's
// intent is only added where the session's limit and every budget that covers it have enough left;
// the hold is taken in the same step, so of two sessions that want the last money one gets it. The
// store applies reservations and settlements in the appends that hold the entries (journal/spend.h)
// and refuses an append that would overrun. Because this ledger is asked first, that happens only
// to an append that a lowered or new limit has overtaken; it is decided again, by the new limit.
//
// A session's own limit needs no ledger: what it has spent is in its fold.
//
// What a call costs is an estimate until it ends. If it costs more than was put aside, the
// difference is charged all the same and the next call finds less.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "async/fifo_semaphore.h"
#include "engine/session_state.h"
#include "journal/journal.h"
#include "models/catalog.h"

namespace perdure::engine {

class Batch;

/// A budget and what appends under way want of it.
struct BudgetAccount {
  journal::Budget budget;
  journal::Money held = 0;
};

/// Money that an append under way will reserve; given back when this goes.
class BudgetHold {
 public:
  BudgetHold(std::vector<std::shared_ptr<BudgetAccount>> accounts, journal::Money amount);
  ~BudgetHold();
  BudgetHold(BudgetHold&& other) noexcept
      : accounts_(std::exchange(other.accounts_, {})), amount_(other.amount_) {}
  BudgetHold& operator=(BudgetHold&&) = delete;

 private:
  std::vector<std::shared_ptr<BudgetAccount>> accounts_;
  journal::Money amount_;
};

class Budgets {
 public:
  Budgets(journal::JournalStore& store, const models::Catalog& models, async::Executor executor)
      : store_(store), models_(models), changes_(std::move(executor), 1) {}

  /// Must have succeeded before anything of the project is appended. Reads the store once.
  async::Task<Result<void>> load(ProjectId project);

  /// Reads again what is known of the project, or of all: others write to the store too. A sum may
  /// be off by what is on its way into the store meanwhile, until the next time.
  async::Task<Result<void>> refresh(ProjectId project);
  async::Task<> refresh_all();

  /// Puts aside what the call that `body` is the intent of may cost in the pool that it names, and
  /// writes price, estimate and reservation into it. Otherwise why it must not be made: one of the
  /// wire's turn error codes.
  std::optional<FailureInfo> reserve(Batch& batch, ModelCallStartedBody& body);
  /// They are on disk. Drop the append's holds in the same step.
  void committed(const ProjectId& project, const std::vector<journal::Settlement>& settlements,
                 const std::vector<journal::Reservation>& reservations, UnixMillis time);
  /// So is this settlement, which was in no append.
  void settled(const ProjectId& project, const journal::Settlement& settlement, UnixMillis time);

  // For who sets limits. Errors are the store's.
  async::Task<Result<journal::Budget>> put(journal::Budget budget);
  async::Task<Result<journal::Committed>> remove(ProjectId project, journal::BudgetScope scope,
                                                 std::string id);
  async::Task<Result<std::vector<journal::Budget>>> list(ProjectId project, UnixMillis now);

 private:
  using Account = std::shared_ptr<BudgetAccount>;
  using Accounts = std::map<std::pair<journal::BudgetScope, std::string>, Account>;

  std::vector<Account> covering(const ProjectId& project, const journal::Payer& payer) const;

  journal::JournalStore& store_;
  const models::Catalog& models_;
  async::FifoSemaphore changes_;  // of what there is, one after the other
  std::map<ProjectId, Accounts> projects_;
};

/// Whether every pool that may answer for the model has a price. Else kInvalidArgument, or
/// kNotFound where nobody answers, with a sentence.
Result<void> check_priced(const models::Catalog& models, std::string_view model);

/// What the end of the running call is charged, from its intent and what is known of its use.
Bill bill_of(const SessionState& state, const ModelCallFinishedBody& body);
Bill bill_of(const SessionState& state, const ModelCallAbandonedBody& body);
Bill bill_of(const SessionState& state, const CompactionFinishedBody& body);

/// The same for the store. `state` is the one before the end.
journal::Settlement settlement_of(const SessionState& state, const Bill& bill, bool abandoned);
journal::Reservation reservation_of(const SessionState& state, std::uint64_t seq,
                                    const ModelCallStartedBody& body);

}  // namespace perdure::engine
