#include "journal/postgres/writer.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <chrono>

#include "base/log.h"
#include "base/planted_bug.h"
#include "journal/postgres/limits.h"

namespace perdure::journal::postgres {
namespace {

std::int64_t steady_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

Error taken_over() {
  return {ErrorCode::kUnavailable,
          "Another server has opened this database or taken this one's work over; what it still "
          "writes is refused.",
          {},
          "superseded"};
}

}  // namespace

Writer::Writer(std::unique_ptr<Connection> connection, const Target& target, Interrupt& interrupt,
               Durability durability, std::uint64_t epoch, std::optional<NodeIdentity> node,
               Env& env)
    : target_(target),
      interrupt_(interrupt),
      durability_(durability),
      node_(std::move(node)),
      env_(env),
      epoch_(epoch),
      connection_(std::move(connection)) {
  thread_ = std::thread([this] { run(); });
}

Writer::~Writer() {
  queue_.close();
  {
    std::unique_lock lock(mutex_);
    ending_ = true;
    changed_.notify_all();
    auto longest = std::chrono::milliseconds(kAnswerMs);
    if (!changed_.wait_for(lock, longest, [this] { return ended_; })) interrupt_.raise();
  }
  thread_.join();
}

StoreStats Writer::stats() const {
  std::lock_guard lock(mutex_);
  return stats_;
}

// ---- the thread -----------------------------------------------------------------------------

void Writer::run() {
  pthread_setname_np(pthread_self(), "journal-writer");
  constexpr auto kForEver = std::chrono::milliseconds(std::chrono::hours(1));
  for (;;) {
    bool away = !superseded_ && queue_.turned_away().has_value();
    auto group = queue_.take(away ? std::chrono::milliseconds(kLongestPauseMs / 4) : kForEver);
    if (!group) break;
    if (rejoin_now()) {
      for (auto& write : *group) write->refuse(taken_over());
      resume(std::move(*group));
    } else if (!group->empty())
      write(std::move(*group));
    else if (away)
      static_cast<void>(be_connected());  // welcomes writes when the database is back
  }
  std::unique_lock lock(mutex_);
  auto too_late = std::exchange(rejoining_, {});
  ended_ = true;
  changed_.notify_all();
  lock.unlock();
  for (Rejoined& done : too_late) done(fail(ErrorCode::kUnavailable, "the store is closing"));
}

void Writer::rejoin(Rejoined done) {
  {
    std::lock_guard lock(mutex_);
    rejoining_.push_back(std::move(done));
  }
  // What waits was decided by a view of the sessions that is not ours any more.
  queue_.turn_away(taken_over());
  queue_.nudge();
}

/// False where nobody asked for it.
bool Writer::rejoin_now() {
  std::vector<Rejoined> waiting;
  {
    std::lock_guard lock(mutex_);
    waiting = std::exchange(rejoining_, {});
  }
  if (waiting.empty()) return false;
  auto opened = open_store(target_, interrupt_, durability_, node_, env_);
  if (opened) {
    connection_ = std::move(opened->connection);
    epoch_ = opened->identity.epoch;
    generation_ = number_ = confirmed_ = 0;
    away_since_ = pause_ms_ = 0;
    superseded_ = false;
    queue_.welcome();
  }
  for (Rejoined& done : waiting)
    done(opened ? Result<StoreIdentity>(opened->identity) : std::unexpected(opened.error()));
  return true;
}

void Writer::write(Group group) {
  Outcome<void> done = commit(group);
  if (done) return resume(std::move(group));
  // Nothing was written. Where one of several is to blame, the others go on without it.
  bool may_be_one = !done.error().lost && group.size() > 1;
  if (!may_be_one) {
    log::error("a write failed",
               {{"sqlstate", done.error().sqlstate}, {"error", done.error().message}});
    Error error = done.error().to_error();
    if (auto away = queue_.turned_away(); away && error.reason.empty()) error = *away;
    for (auto& write : group) write->refuse(error);
    return resume(std::move(group));
  }
  for (auto& write : group) {
    Group one;
    one.push_back(std::move(write));
    this->write(std::move(one));
  }
}

struct Writer::Sent {
  std::vector<Statement> statements;
  std::size_t mark = 0;  // which of them
};

Writer::Sent Writer::put_together(Group& group, UnixMillis now) {
  constexpr std::string_view kBegin = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
  const std::string limits = fmt::format(
      "SELECT set_config('statement_timeout', '{0}', true), "
      "set_config('idle_in_transaction_session_timeout', '{0}', true), "
      "set_config('perdure.outcomes', '', true)",
      kStatementMs);
  Sent sent;
  std::vector<Statement>& all = sent.statements;
  for (auto& write : group) {
    for (Statement& blob : write->prepare()) {
      if (all.empty()) {
        all.emplace_back(std::string(kBegin));
        all.emplace_back(limits);
      }
      all.push_back(std::move(blob));
    }
  }
  if (!all.empty()) all.emplace_back("COMMIT");
  all.emplace_back(std::string(kBegin));
  all.emplace_back(limits);
  for (auto& write : group) all.push_back(write->statement(now));
  sent.mark = all.size();
  Statement& mark = all.emplace_back();
  std::string epoch = mark.number(epoch_), number = mark.number(number_);
  // A row that is not ours to write any more leaves nothing to divide by.
  mark.sql = fmt::format(
      "WITH mark AS (UPDATE opening SET groups = {}, outcomes = "
      "current_setting('perdure.outcomes') "
      "WHERE epoch = {} AND generation = {} AND NOT superseded AND {} RETURNING outcomes) "
      "SELECT (SELECT outcomes FROM mark), 1 / (SELECT count(*) FROM mark)",
      number, epoch, mark.number(generation_), strength_condition(durability_));
  all.emplace_back("COMMIT");
  return sent;
}

/// On return without an error all of the group is on disk and has its answers; with one nothing of
/// it is, nor will be.
Outcome<void> Writer::commit(Group& group) {
  for (int attempt = 1;; ++attempt) {
    if (auto connected = be_connected(); !connected) return connected;
    UnixMillis now = env_.now();
    ++number_;
    Sent sent = put_together(group, now);
    Outcome<Answers> answers = connection_->run(sent.statements, kAnswerMs);
    if (answers && !connection_->warned()) {
      if (answers->back().command() != "COMMIT")
        return std::unexpected(Failure{.sqlstate = "40000", .message = "it was rolled back"});
      finish(group, answers->at(sent.mark).text(0, 0), now);
      return {};
    }
    if (!answers && !answers.error().lost) {
      if (answers.error().statement == sent.mark) {
        connection_.reset();  // the claim says why
        if (attempt < kAttempts) continue;
      }
      if (answers.error().sqlstate == "53100") note_disk_full(true);
      // Deadlocks, and a guard that another node's commit has outdated, or collided with.
      const std::string& state = answers.error().sqlstate;
      bool may_pass =
          state.starts_with("40") || ((state == "22012" || state == "23505") && group.size() == 1);
      if (may_pass && attempt < kAttempts) continue;
      return std::unexpected(std::move(answers).error());
    }

    // Whether it was committed is unknown.
    log::warn("asking the database whether it has the last commit",
              {{"error", answers ? "a standby did not confirm it" : answers.error().message}});
    connection_.reset();
    Outcome<Claim> claim = claim_until_known();
    if (!claim) return std::unexpected(std::move(claim).error());
    if (claim->groups == number_) {
      finish(group, claim->outcomes, now);
      static_cast<void>(accept(*claim));
      return {};
    }
    if (auto accepted = accept(*claim); !accepted) return accepted;
    if (attempt == kAttempts)
      return std::unexpected(
          Failure{.message = "the connection broke again and again", .lost = true});
  }
}

void Writer::finish(Group& group, std::string_view outcomes, UnixMillis now) {
  confirmed_ = number_;
  note_disk_full(false);
  StoreStats counted;
  for (auto& write : group) {
    std::size_t end = outcomes.find(kOutcomeEnd);
    if (end == std::string_view::npos)
      log::fatal("the database kept another commit than the one that was sent");
    write->finish(outcomes.substr(0, end), now);
    outcomes.remove_prefix(end + 1);
    counted.commits |= write->counted.commits;
    counted.appends += write->counted.appends;
    counted.entries += write->counted.entries;
    counted.bytes += write->counted.bytes;
    counted.fenced += write->counted.fenced;
  }
  std::lock_guard lock(mutex_);
  stats_.commits += counted.commits;
  stats_.appends += counted.appends;
  stats_.entries += counted.entries;
  stats_.bytes += counted.bytes;
  stats_.fenced += counted.fenced;
}

// ---- a database that is away ----------------------------------------------------------------

/// Has a claimed connection, or says why not. Nothing may be in doubt.
Outcome<void> Writer::be_connected() {
  if (superseded_) return std::unexpected(Failure{.message = taken_over().message, .lost = true});
  if (connection_ && !connection_->alive()) connection_.reset();
  while (!connection_ || generation_ == 0) {
    Outcome<Claim> claim = try_claim();
    if (claim) return accept(*claim);
    if (steady_ms() - away_since_ >= kPatienceMs || queue_.closed())
      return std::unexpected(claim.error());
    pause();
  }
  return {};
}

/// Asks until the database answers. Only the end of the store gives up.
Outcome<Claim> Writer::claim_until_known() {
  std::int64_t closing_since = 0;
  for (;;) {
    Outcome<Claim> claim = try_claim();
    if (claim) return claim;
    if (queue_.closed()) {
      if (closing_since == 0) closing_since = steady_ms();
      if (steady_ms() - closing_since >= kLastPatienceMs)
        return std::unexpected(Failure::unknown(claim.error().message));
    }
    pause();
  }
}

Outcome<Claim> Writer::try_claim() {
  std::optional<Failure> failure;
  if (!connection_) {
    auto opened = Connection::open(target_, interrupt_);
    if (opened)
      connection_ = std::move(*opened);
    else
      failure = std::move(opened).error();
  }
  if (connection_) {
    Outcome<std::optional<Claim>> claimed = claim(*connection_, epoch_);
    if (claimed) {
      if (!*claimed || ((*claimed)->groups != confirmed_ && (*claimed)->groups != number_))
        log::fatal(
            "the database has lost commits that it had confirmed (was it restored, or replaced by "
            "a "
            "standby that lagged behind?)",
            {{"database", connection_->name()},
             {"confirmed", confirmed_},
             {"kept", *claimed ? (*claimed)->groups : 0}});
      if (away_since_ != 0) log::info("the database is back", {{"database", connection_->name()}});
      away_since_ = pause_ms_ = 0;
      generation_ = (*claimed)->generation;
      return std::move(**claimed);
    }
    connection_.reset();
    failure = std::move(claimed).error();
  }
  if (away_since_ == 0) {
    away_since_ = steady_ms();
    log::error("the database is away", {{"error", failure->message}});
  } else if (steady_ms() - away_since_ >= kPatienceMs && !queue_.turned_away()) {
    log::error("writes are refused until the database is back", {{"error", failure->message}});
    queue_.turn_away(failure->to_error());
  }
  return std::unexpected(std::move(*failure));
}

/// Takes writes where this database may be written to by us, else turns them away.
Outcome<void> Writer::accept(const Claim& claim) {
  Failure refused{.lost = true};
  if (claim.superseded) {
    refused.message = taken_over().message;
    log::error(refused.message);
    superseded_ = true;
    queue_.turn_away(taken_over());
  } else if (!claim.weakness.empty() && durability_ == Durability::kFull) {
    refused.message = weak_sentence(claim.weakness);
    if (!queue_.turned_away()) log::error("writes are refused", {{"why", refused.message}});
    queue_.turn_away({ErrorCode::kUnavailable, refused.message, {}, "weak_database"});
  } else {
    queue_.welcome();
    return {};
  }
  connection_.reset();  // so that the next look asks again
  return std::unexpected(std::move(refused));
}

void Writer::pause() {
  pause_ms_ = std::clamp(pause_ms_ * 2, kFirstPauseMs, kLongestPauseMs);
  std::unique_lock lock(mutex_);
  if (ending_)  // few pauses are left: short ones
    changed_.wait_for(lock, std::chrono::milliseconds(kFirstPauseMs));
  else
    changed_.wait_for(lock, std::chrono::milliseconds(pause_ms_), [this] { return ending_; });
}

void Writer::note_disk_full(bool is_full) {
  std::lock_guard lock(mutex_);
  if (std::exchange(stats_.disk_full, is_full) == is_full) return;
  if (is_full)
    log::error("the database's disk is full: writes fail until there is space, reads go on");
  else
    log::info("there is disk space again");
}

}  // namespace perdure::journal::postgres
