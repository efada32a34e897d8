#include "journal/postgres/lease_keeper.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/prefer.hpp>

#include "journal/postgres/limits.h"
#include "journal/postgres/opening.h"

namespace perdure::journal::postgres {
namespace asio = boost::asio;
namespace {

std::vector<std::int64_t> numbers_of(const Shards& shards) {
  std::vector<std::int64_t> numbers;
  for (std::size_t shard = 0; shard < kShards; ++shard)
    if (shards.test(shard)) numbers.push_back(static_cast<std::int64_t>(shard));
  return numbers;
}

// Where the statements of a renewal stand, for their answers.
constexpr std::size_t kLivesOn = 2, kShardRows = 6, kNodeRows = 7, kChanges = 8;

constexpr std::string_view kAlive = "NOT superseded AND until > clock_timestamp()";

}  // namespace

std::vector<Statement> renewal_statements(std::uint64_t epoch, const LeaseRequest& request) {
  std::vector<Statement> all;
  all.emplace_back("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE");
  all.emplace_back(
      fmt::format("SELECT set_config('statement_timeout', '{0}', true), "
                  "set_config('idle_in_transaction_session_timeout', '{0}', true)",
                  kRenewalMs));
  Statement& live = all.emplace_back();
  std::string me = live.number(epoch);
  if (request.leave)
    live.sql = fmt::format("UPDATE opening SET superseded = true WHERE epoch = {} RETURNING 1", me);
  else
    live.sql = fmt::format(
        "UPDATE opening SET until = {}, url = {} WHERE epoch = {} AND NOT superseded RETURNING 1",
        lease_end(), live.text(request.url), me);
  // One that commits at this moment lives, or is ended the next time. What opened the database for
  // itself has no end of its own.
  all.emplace_back(
      "UPDATE opening SET superseded = true WHERE epoch IN (SELECT epoch FROM opening "
      "WHERE NOT superseded AND until <= clock_timestamp() FOR UPDATE SKIP LOCKED)");
  Statement& release = all.emplace_back();
  release.sql = fmt::format("UPDATE shard SET holder = 0 WHERE holder = {} AND id = ANY ({})",
                            release.number(epoch), release.numbers(numbers_of(request.give_up)));
  // Its share of all, if it lives; what it has just given up goes to others first.
  Statement& take = all.emplace_back();
  me = take.number(epoch);
  take.sql = fmt::format(
      "UPDATE shard SET holder = {0}, epoch = greatest(epoch + 1, {0}) WHERE id IN "
      "(SELECT id FROM shard s WHERE NOT EXISTS "
      "(SELECT FROM opening o WHERE o.epoch = s.holder AND NOT o.superseded) "
      "AND id <> ALL ({1}) ORDER BY id LIMIT (SELECT CASE WHEN count(*) "
      "FILTER (WHERE epoch = {0}) = 0 THEN 0 ELSE greatest(0, ceil({2}.0 / count(*))::bigint - "
      "(SELECT count(*) FROM shard WHERE holder = {0})) END FROM opening WHERE {3}) "
      "FOR UPDATE OF s SKIP LOCKED)",
      me, take.numbers(numbers_of(request.give_up)), kShards, kAlive);
  all.emplace_back(fmt::format(
      "SELECT s.id, s.epoch, o.epoch FROM shard s LEFT JOIN opening o ON o.epoch = s.holder "
      "AND NOT superseded AND until > clock_timestamp() ORDER BY s.id"));
  all.emplace_back(
      fmt::format("SELECT epoch, url, greatest(0, ceil(extract(epoch FROM "
                  "least(until, clock_timestamp() + interval '1 hour') - "
                  "clock_timestamp()) * 1000))::bigint "
                  "FROM opening WHERE {} ORDER BY epoch",
                  kAlive));
  all.emplace_back("SELECT n FROM changes");
  all.emplace_back("COMMIT");
  return all;
}

Result<Renewal> renewal_of(const Answers& answers, std::uint64_t epoch) {
  if (answers.at(kLivesOn).empty())
    return fail(ErrorCode::kFenced,
                "This node was ended by another: it was silent for too long, "
                "or was started anew.");
  Renewal renewal;
  const Rows& shards = answers.at(kShardRows);
  for (int row = 0; row < shards.count(); ++row) {
    std::size_t shard = shards.natural(row, 0);
    if (shard >= kShards || shards.is_null(row, 2)) continue;
    std::uint64_t holder = shards.natural(row, 2);
    renewal.leases.holders[shard] = holder;
    if (holder != epoch) continue;
    renewal.leases.held.set(shard);
    renewal.epochs[shard] = shards.natural(row, 1);
  }
  const Rows& nodes = answers.at(kNodeRows);
  for (int row = 0; row < nodes.count(); ++row) {
    Node& node = renewal.leases.nodes.emplace_back(nodes.natural(row, 0), nodes.text(row, 1));
    if (node.epoch != epoch)
      renewal.leases.next_end_ms = std::min(renewal.leases.next_end_ms, nodes.integer(row, 2));
  }
  renewal.leases.changes = answers.at(kChanges).natural(0, 0);
  return renewal;
}

LeaseKeeper::LeaseKeeper(const Target& target, Env& env)
    : target_(target), env_(env), thread_([this] { serve(); }) {}

LeaseKeeper::~LeaseKeeper() {
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
  }
  wake_.notify_all();
  interrupt_.raise();
  thread_.join();
}

void LeaseKeeper::add(Job job) {
  {
    std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  wake_.notify_one();
}

void LeaseKeeper::serve() {
  pthread_setname_np(pthread_self(), "leases");
  Link link(target_, interrupt_);
  for (;;) {
    Job job;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return ending_ || !jobs_.empty(); });
      if (jobs_.empty()) return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    job(link);
  }
}

async::Task<Result<Renewal>> LeaseKeeper::renew(std::uint64_t epoch, LeaseRequest request) {
  using Answer = Result<Renewal>;
  auto start = [&](async::Executor executor, std::move_only_function<void(Answer)> resume) {
    // Tracked: a loop does not run out of work while a caller on it waits for the database.
    auto tracked = asio::prefer(std::move(executor), asio::execution::outstanding_work.tracked);
    add([this, epoch, request, tracked, resume = std::move(resume)](Link& link) mutable {
      async::post(tracked, [answer = renew_now(link, epoch, request),
                            resume = std::move(resume)]() mutable { resume(std::move(answer)); });
    });
  };
  co_return co_await async::hand_over<Answer>(std::move(start));
}

async::Task<Result<std::uint64_t>> LeaseKeeper::changes() {
  using Answer = Result<std::uint64_t>;
  auto start = [&](async::Executor executor, std::move_only_function<void(Answer)> resume) {
    auto tracked = asio::prefer(std::move(executor), asio::execution::outstanding_work.tracked);
    add([this, tracked, resume = std::move(resume)](Link& link) mutable {
      async::post(tracked, [answer = changes_now(link), resume = std::move(resume)]() mutable {
        resume(std::move(answer));
      });
    });
  };
  co_return co_await async::hand_over<Answer>(std::move(start));
}

Result<Renewal> LeaseKeeper::renew_now(Link& link, std::uint64_t epoch,
                                       const LeaseRequest& request) {
  const std::int64_t sent = env_.monotonic_ms();
  auto answers = link.ask(renewal_statements(epoch, request), kRenewalMs);
  if (!answers) return std::unexpected(answers.error().to_error());
  // A standby that did not confirm it may be the next primary, and not know of it.
  if (link.warned())
    return fail(ErrorCode::kUnavailable, "a standby did not confirm that this node lives on");
  TRY(renewal, renewal_of(*answers, epoch));
  renewal.leases.valid_until = sent + kLeaseMs - kLeaseMarginMs;
  return renewal;
}

Result<std::uint64_t> LeaseKeeper::changes_now(Link& link) {
  const std::vector<Statement> question = {Statement("SELECT n FROM changes")};
  auto answers = link.ask(question, kRenewalMs);
  if (!answers) return std::unexpected(answers.error().to_error());
  return answers->front().natural(0, 0);
}

}  // namespace perdure::journal::postgres
