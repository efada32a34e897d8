// Fills a store with dormant sessions: copies of the one that is in it, each under its own id,
// through the journal as the server itself writes them. Bodies name no session, so a copy is
// exactly what a finished session of that content is.
#include <fmt/format.h>

#include <boost/asio/io_context.hpp>
#include <exception>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "async/blocking_pool.h"
#include "bench/commands.h"
#include "bench/report.h"
#include "journal/sqlite/sqlite_journal.h"

namespace perdure::bench {
namespace {

using async::Task;

/// Copies that wait for the writer at one time; fewer than the journal's queue takes.
constexpr int kWriters = 512;

template <class T>
T value_of(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  return std::move(*result);
}

struct Seeding {
  journal::JournalStore& journal;
  Env& env;
  std::int64_t left = 0;
  ProjectId project{"default"};
  std::vector<journal::EntryDraft> entries;
  std::ofstream ids;
  std::exception_ptr failure;
};

Task<> write_copies(Seeding& seeding) {
  while (seeding.left > 0) {
    --seeding.left;
    journal::Append append{.key = {seeding.project, new_session_id(seeding.env)},
                           .entries = seeding.entries};
    append.time = seeding.env.now();
    const std::string id = append.key.session.value;
    value_of(co_await seeding.journal.append(std::move(append)));
    seeding.ids << id << '\n';
  }
}

Task<> run(boost::asio::io_context& loop, Seeding& seeding) {
  try {
    const auto rows =
        value_of(co_await seeding.journal.list_sessions({.project = seeding.project, .limit = 1}));
    if (rows.empty()) throw std::runtime_error("there is no session to copy");
    const journal::Loaded loaded = value_of(co_await seeding.journal.load(rows.front().key));
    if (loaded.snapshot) throw std::runtime_error("the session to copy is too long");
    for (const journal::Entry& entry : loaded.tail)
      seeding.entries.push_back({entry.kind, entry.body});
    for (int i = 0; i < kWriters; ++i)
      async::spawn(loop.get_executor(), "writer", write_copies(seeding));
  } catch (...) {
    seeding.failure = std::current_exception();
  }
}

}  // namespace

void seed(const Arguments& arguments) {
  SystemEnv env;
  async::BlockingPool pool(1);
  boost::asio::io_context loop(1);
  auto journal =
      value_of(journal::SqliteJournal::open({.directory = arguments.text("data-dir")}, env, pool));
  Seeding seeding{.journal = *journal, .env = env, .left = arguments.number("count")};
  seeding.ids.open(arguments.text("ids"));
  const std::int64_t started = monotonic_ns();
  async::spawn(loop.get_executor(), "seed", run(loop, seeding));
  loop.run();
  if (seeding.failure) std::rethrow_exception(seeding.failure);
  std::size_t bytes = 0;
  for (const journal::EntryDraft& entry : seeding.entries) bytes += entry.body.size();
  Report()
      .add("seconds", static_cast<double>(monotonic_ns() - started) / 1e9)
      .add("entries_each", static_cast<double>(seeding.entries.size()))
      .add("payload_each", static_cast<double>(bytes))
      .print();
}

}  // namespace perdure::bench
