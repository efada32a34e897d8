// The program whose disk loses power: writes a known history through the real journal, and checks
// what a later opening finds.
//
//   journal_writer write DIR          one line on standard output per acknowledged write
//   journal_writer check DIR ACKS     ACKS is a file with those lines; 0 if everything is in order
//
// What append k of session s contains is a function of (s, k) alone, so the check can tell from a
// session's head which append was its last, and then demands every entry, effect, timer and kept
// answer that belongs to it, and none of the next one's.
#include <fmt/format.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>

#include "async/blocking_pool.h"
#include "base/env.h"
#include "base/log.h"
#include "journal/journal.h"
#include "journal/limits.h"
#include "journal/shards.h"
#include "journal/sqlite/database.h"
#include "journal/sqlite/sqlite_journal.h"

namespace perdure::journal {
namespace {

constexpr int kSessions = 4;
constexpr int kDeleted = 3;           // the session that is deleted in the end
constexpr int kAppendsBeforeGap = 6;  // of each session, before the store is closed and reopened
constexpr int kAppends = 16;
constexpr int kLargeAppend = 8;  // carries enough to make the log be checkpointed
constexpr std::size_t kLargeBytes = 1'200'000;

SessionKey session_key(int session) {
  return {{"project" + std::to_string(session % 2)}, {"session" + std::to_string(session)}};
}

int entries_of(int k) {
  return 1 + k % 3;
}

std::uint64_t head_before(int k) {
  std::uint64_t head = 0;
  for (int i = 0; i < k; ++i) head += static_cast<std::uint64_t>(entries_of(i));
  return head;
}

std::string body_of(int session, int k, int entry) {
  std::string body = fmt::format("session {} append {} entry {} ", session, k, entry);
  std::size_t size = 100 + static_cast<std::size_t>(session * 37 + k * 101 + entry * 11);
  if (entry == 0 && k == 3) size = kBlobThreshold + 4000;
  if (entry == 0 && k == kLargeAppend) size = kLargeBytes;
  for (char c = 'a'; body.size() < size; c = c == 'z' ? 'a' : static_cast<char>(c + 1)) body += c;
  return body;
}

IdempotencyScope scope_of(int session, int k) {
  return {session_key(session).project, "me", "POST /append", fmt::format("{}-{}", session, k)};
}

Append append_of(int session, int k) {
  Append append{.key = session_key(session), .head = head_before(k), .open = true};
  for (int entry = 0; entry < entries_of(k); ++entry)
    append.entries.push_back({.kind = 11, .body = body_of(session, k, entry)});
  append.open_effects = {{.call_id = fmt::format("call{}", k), .repeat_class = "opaque"}};
  if (k > 0) append.close_effects = {fmt::format("call{}", k - 1)};
  append.set_timers = {{"alarm", 1000 + k, fmt::format("{}", session)}};
  append.idempotency = IdempotencyRecord{.scope = scope_of(session, k),
                                         .status = 200,
                                         .body = fmt::format("{}", k),
                                         .session = append.key.session.value,
                                         .expires = std::numeric_limits<UnixMillis>::max()};
  if (k % 4 == 3)
    append.snapshot = Snapshot{.seq = append.head, .format = 1, .body = fmt::format("fold {}", k)};
  return append;
}

class Program {
 public:
  explicit Program(std::string directory) : directory_(std::move(directory)) { open(); }

  int write() {
    for (int k = 0; k < kAppendsBeforeGap; ++k) append_to_all(k);
    put_row(0);
    store_.reset();  // empties the log and removes it
    open();
    for (int k = kAppendsBeforeGap; k < kAppends; ++k) append_to_all(k);
    put_row(1);
    spawn(erase(this));
    loop_.run();
    return 0;
  }

  int check(const std::string& acks_file);

 private:
  void open() {
    auto opened = SqliteJournal::open({.directory = directory_}, env_, pool_);
    if (!opened) log::fatal("cannot open the store", {{"error", opened.error().message}});
    store_ = std::move(*opened);
  }

  void spawn(Task<> task) {
    loop_.restart();
    boost::asio::co_spawn(loop_, std::move(task), [](std::exception_ptr error) {
      if (error) std::rethrow_exception(error);
    });
  }

  template <class T>
  T run(Task<T> task) {
    std::optional<T> value;
    spawn(keep(std::move(task), &value));
    loop_.run();
    return std::move(*value);
  }
  template <class T>
  static Task<> keep(Task<T> task, std::optional<T>* value) {
    value->emplace(co_await std::move(task));
  }

  static void acknowledge(const std::string& line) {
    std::string text = line + "\n";
    if (::write(STDOUT_FILENO, text.data(), text.size()) < 0) ::_exit(3);
  }

  /// One append to every session at once: they wait together and share commits.
  void append_to_all(int k) {
    for (int session = 0; session < kSessions; ++session) spawn(append(this, session, k));
    loop_.run();
  }

  static Task<> append(Program* self, int session, int k) {
    auto committed = co_await self->store_->append(append_of(session, k));
    if (!committed) log::fatal("an append failed", {{"error", committed.error().message}});
    acknowledge(fmt::format("append {} {}", session, k));
  }

  static Task<> erase(Program* self) {
    auto erased =
        co_await self->store_->delete_session(session_key(kDeleted), head_before(kAppends));
    if (!erased) log::fatal("a deletion failed", {{"error", erased.error().message}});
    acknowledge("delete");
    if (!co_await self->store_->collect_garbage(0)) log::fatal("collecting garbage failed");
  }

  void put_row(std::uint64_t version) {
    Row row{
        .project = {"project0"}, .kind = "agent", .id = "a", .body = std::to_string(version + 1)};
    if (!run(store_->put_row(row, version))) log::fatal("a row was not written");
    acknowledge(fmt::format("row {}", version + 1));
  }

  void check_session(int session, int acknowledged, bool deleted);
  void check_append(int session, int k, const Loaded& loaded);
  void wrong(std::string what) {
    fmt::print("{}\n", what);
    ++wrong_;
  }

  std::string directory_;
  SystemEnv env_;
  async::BlockingPool pool_{1};
  boost::asio::io_context loop_;
  std::unique_ptr<JournalStore> store_;
  int wrong_ = 0;
};

// ---- checking -------------------------------------------------------------------------------

int Program::check(const std::string& acks_file) {
  std::map<int, int> last;  // session -> its last acknowledged append
  std::uint64_t row_version = 0;
  bool deleted = false;
  std::ifstream acks(acks_file);
  for (std::string line; std::getline(acks, line);) {
    std::istringstream words(line);
    std::string what;
    int session = 0, k = 0;
    words >> what;
    if (what == "append" && words >> session >> k) last[session] = k;
    if (what == "row") words >> row_version;
    if (what == "delete") deleted = true;
  }

  for (int session = 0; session < kSessions; ++session)
    check_session(session, last.contains(session) ? last[session] : -1, deleted);

  auto row = run(store_->get_row({"project0"}, "agent", "a"));
  if (row_version > 0 && (!row || row->version < row_version))
    wrong(fmt::format("LOST row version {}", row_version));
  if (row && row->body != std::to_string(row->version)) wrong("PARTIAL row");

  sqlite::Connection raw(directory_ + "/perdure.db", sqlite::Access::kRead);
  sqlite::Rows rows = raw.query("PRAGMA integrity_check");
  rows.next();
  if (rows.text(0) != "ok") wrong("CORRUPT " + rows.text(0));
  return wrong_ == 0 ? 0 : 1;
}

void Program::check_session(int session, int acknowledged, bool deleted) {
  auto row = run(store_->session(session_key(session)));
  if (!row) {
    if (acknowledged >= 0) wrong(fmt::format("LOST session {}", session));
    return;
  }
  if (row->deleted) {
    if (session != kDeleted || acknowledged < kAppends - 1)
      wrong(fmt::format("WRONG tombstone of session {}", session));
    return;
  }
  if (session == kDeleted && deleted) return wrong("LOST deletion");

  int k = -1;
  while (k + 1 < kAppends && head_before(k + 2) <= row->head) ++k;
  if (head_before(k + 1) != row->head)
    wrong(fmt::format("PARTIAL session {} ends at {}, inside an append", session, row->head));
  if (k < acknowledged)
    wrong(fmt::format("LOST session {}: append {} was acknowledged, {} is the last", session,
                      acknowledged, k));
  auto loaded = run(store_->load(session_key(session), ~0ULL));
  if (!loaded)
    wrong(fmt::format("LOST session {}: {}", session, loaded.error().message));
  else
    check_append(session, k, *loaded);
}

/// Everything of appends 0 … k, nothing of append k + 1.
void Program::check_append(int session, int k, const Loaded& loaded) {
  auto partial = [&](std::string_view what) {
    wrong(fmt::format("PARTIAL session {} after append {}: {}", session, k, what));
  };
  auto entries = run(store_->read({.key = session_key(session), .max_bytes = 64 << 20}));
  std::size_t at = 0;
  for (int append = 0; append <= k; ++append)
    for (int entry = 0; entry < entries_of(append); ++entry, ++at) {
      if (!entries || at >= entries->size()) return partial("entries are missing");
      if ((*entries)[at].seq != at + 1) return partial("a gap in the sequence");
      if ((*entries)[at].body != body_of(session, append, entry)) return partial("a wrong body");
    }
  if (at != entries->size() || loaded.row.head != at) partial("the head is not the last entry");

  int folded = -1;  // the newest snapshot's append
  for (int append = 0; append <= k; ++append)
    if (append % 4 == 3) folded = append;
  if (loaded.snapshot.has_value() != (folded >= 0) ||
      (loaded.snapshot && loaded.snapshot->body != fmt::format("fold {}", folded)))
    partial("the snapshot");

  auto effects = run(store_->effects(session_key(session)));
  if (!effects || effects->size() != 1 || effects->at(0).call_id != fmt::format("call{}", k) ||
      effects->at(0).intent_seq != head_before(k) + 1)
    partial("the open effect");

  auto timers = run(store_->due_timers(all_shards(), std::numeric_limits<UnixMillis>::max(), 100));
  int found = 0;
  for (const DueTimer& due : *timers)
    found += due.key == session_key(session) && due.timer.due == 1000 + k;
  if (found != 1) partial("the timer");

  for (int append = 0; append <= k + 1; ++append) {
    auto record = run(store_->find_idempotency(scope_of(session, append), 0));
    if (!record || record->has_value() != (append <= k)) partial("a kept answer");
  }
}

int main(int count, char** arguments) {
  std::string command = count > 2 ? arguments[1] : "";
  log::configure(log::Level::kError, log::Format::kText);
  if (command == "write" && count == 3) return Program(arguments[2]).write();
  if (command == "check" && count == 4) return Program(arguments[2]).check(arguments[3]);
  fmt::print(stderr, "usage: journal_writer write DIR | check DIR ACKS\n");
  return 2;
}

}  // namespace
}  // namespace perdure::journal

int main(int count, char** arguments) {
  return perdure::journal::main(count, arguments);
}
