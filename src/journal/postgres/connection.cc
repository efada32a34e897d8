#include "journal/postgres/connection.h"

#include <fmt/format.h>
#include <libpq-fe.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <chrono>
#include <stdexcept>

#include "base/log.h"
#include "journal/postgres/limits.h"

namespace perdure::journal::postgres {
namespace {

std::int64_t steady_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

std::string_view field(const PGresult* result, int code) {
  const char* text = PQresultErrorField(result, code);
  return text ? text : "";
}

/// One line without its end.
std::string trimmed(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  for (char& c : text)
    if (c == '\n' || c == '\t') c = ' ';
  return text;
}

}  // namespace

// ---- failures -------------------------------------------------------------------------------

Failure Failure::unknown(std::string message) {
  return {.sqlstate = "08007", .message = std::move(message), .lost = true};
}

Error Failure::to_error() const {
  auto unavailable = [](std::string_view why, std::string reason = {}) {
    return Error{ErrorCode::kUnavailable, std::string(why), {}, std::move(reason)};
  };
  std::string_view state = sqlstate;
  if (state == "53100")
    return unavailable("The database's disk is full; the write was not done.", "disk_full");
  if (state == "53300")
    return unavailable("The database has no connection left; try again shortly.");
  if (state == "25006")
    return unavailable("The database is a read-only standby; try again when there is a primary.");
  if (state == "57014") return unavailable("The database took too long; try again shortly.");
  if (state == "08007")
    return unavailable("The server ended before the database said whether this was written.",
                       "outcome_unknown");
  if (lost || state.empty() || state.starts_with("08") || state.starts_with("57P"))
    return unavailable("The database cannot be reached; try again shortly.");
  if (state.starts_with("53") || state.starts_with("40") || state == "55P03")
    return unavailable("The database is busy; try again shortly.");
  if (state == "22021")
    return {
        ErrorCode::kInvalidArgument, "A name holds bytes that are not UTF-8, or a zero.", {}, {}};
  if (state == "42501")
    return {
        ErrorCode::kInternal, "The database refuses the server's role a right it needs.", {}, {}};
  return {ErrorCode::kInternal, fmt::format("The database failed (SQLSTATE {}).", state), {}, {}};
}

Interrupt::Interrupt() : descriptor_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (descriptor_ < 0) throw std::runtime_error("eventfd failed");
}

Interrupt::~Interrupt() {
  ::close(descriptor_);
}

void Interrupt::raise() {
  ::eventfd_write(descriptor_, 1);
}

// ---- the connection -------------------------------------------------------------------------

Outcome<std::unique_ptr<Connection>> Connection::open(const Target& target, Interrupt& interrupt) {
  std::vector<const char*> words, values;
  for (const auto& [word, value] : target.words()) {
    words.push_back(word.c_str());
    values.push_back(value.c_str());
  }
  words.push_back(nullptr);
  values.push_back(nullptr);
  PGconn* raw = PQconnectdbParams(words.data(), values.data(), 0);
  if (!raw) throw std::bad_alloc();
  std::unique_ptr<Connection> connection(new Connection(raw, target, interrupt));
  if (PQstatus(raw) != CONNECTION_OK)
    return std::unexpected(
        Failure{.message = trimmed(target.without_password(PQerrorMessage(raw))), .lost = true});
  if (PQsetnonblocking(raw, 1) != 0 || PQenterPipelineMode(raw) != 1)
    return std::unexpected(connection->lost("it opened"));
  return connection;
}

Connection::Connection(pg_conn* connection, const Target& target, Interrupt& interrupt)
    : connection_(connection), target_(target), interrupt_(interrupt) {
  auto on_notice = [](void* self, const PGresult* notice) {
    if (field(notice, PG_DIAG_SEVERITY_NONLOCALIZED) != "WARNING") return;
    static_cast<Connection*>(self)->warned_ = true;
    log::warn("the database warns", {{"sqlstate", field(notice, PG_DIAG_SQLSTATE)},
                                     {"message", field(notice, PG_DIAG_MESSAGE_PRIMARY)}});
  };
  PQsetNoticeReceiver(connection_, on_notice, this);
}

Connection::~Connection() {
  PQfinish(connection_);
}

int Connection::server_version() const {
  return PQserverVersion(connection_);
}

bool Connection::alive() {
  pollfd socket{PQsocket(connection_), POLLIN, 0};
  while (::poll(&socket, 1, 0) > 0) {
    // Between runs the server has only a farewell to say.
    if (!PQconsumeInput(connection_) || (socket.revents & (POLLHUP | POLLERR))) return false;
    socket.revents = 0;
  }
  return PQstatus(connection_) == CONNECTION_OK;
}

std::string Connection::name() const {
  return fmt::format("database '{}' at {}:{}", PQdb(connection_), PQhost(connection_),
                     PQport(connection_));
}

Failure Connection::lost(std::string_view when) const {
  std::string why = trimmed(target_.without_password(PQerrorMessage(connection_)));
  return {.message = fmt::format("the connection was lost while {}{}{}", when,
                                 why.empty() ? "" : ": ", why),
          .lost = true};
}

Outcome<void> Connection::script(const std::string& sql) {
  if (PQexitPipelineMode(connection_) != 1) return std::unexpected(lost("it was idle"));
  Rows answer(PQexec(connection_, sql.c_str()));
  Outcome<void> outcome;
  if (PQstatus(connection_) != CONNECTION_OK) {
    outcome = std::unexpected(lost("a script ran"));
  } else if (std::string error = PQerrorMessage(connection_); !error.empty()) {
    PGresult* rolled_back = PQexec(connection_, "ROLLBACK");
    PQclear(rolled_back);
    outcome = std::unexpected(Failure{.sqlstate = answer.error_state(), .message = trimmed(error)});
  }
  if (PQstatus(connection_) == CONNECTION_OK) PQenterPipelineMode(connection_);
  return outcome;
}

// ---- a pipeline -----------------------------------------------------------------------------

struct Connection::Sent {
  std::size_t statement;
  bool is_parse;  // its answer is of no interest
};

Outcome<Answers> Connection::run(std::span<const Statement> statements, std::int64_t timeout_ms) {
  warned_ = false;
  std::vector<Sent> sent;
  const std::string* parsed = nullptr;
  for (std::size_t i = 0; i < statements.size(); ++i) {
    const Statement& statement = statements[i];
    std::vector<Oid> types;
    std::vector<const char*> values;
    std::vector<int> lengths, formats;
    for (const Statement::Value& value : statement.values) {
      types.push_back(value.type);
      values.push_back(value.bytes ? value.bytes->data() : nullptr);
      lengths.push_back(value.bytes ? static_cast<int>(value.bytes->size()) : 0);
      formats.push_back(1);
    }
    int count = static_cast<int>(types.size());
    // The unnamed statement stays until the next one is parsed, within the transaction and so on
    // one server: appends of the same shape are parsed once.
    if (!parsed || *parsed != statement.sql) {
      if (!PQsendPrepare(connection_, "", statement.sql.c_str(), count, types.data()))
        return std::unexpected(lost("it was sent to"));
      sent.push_back({i, true});
      parsed = &statement.sql;
    }
    if (!PQsendQueryPrepared(connection_, "", count, values.data(), lengths.data(), formats.data(),
                             1))
      return std::unexpected(lost("it was sent to"));
    sent.push_back({i, false});
  }
  if (PQpipelineSync(connection_) != 1) return std::unexpected(lost("it was sent to"));

  Outcome<Answers> answers = collect(sent, statements.size(), timeout_ms);
  bool in_transaction = PQtransactionStatus(connection_) == PQTRANS_INERROR ||
                        PQtransactionStatus(connection_) == PQTRANS_INTRANS;
  if (!answers && !answers.error().lost && in_transaction) {
    const Statement rollback("ROLLBACK");
    auto rolled_back = run({&rollback, 1}, timeout_ms);
    // The error was before the commit: however the rollback ends, nothing was done.
    if (!rolled_back) log::debug("a rollback failed", {{"error", rolled_back.error().message}});
  }
  return answers;
}

Outcome<Answers> Connection::collect(const std::vector<Sent>& sent, std::size_t statements,
                                     std::int64_t timeout_ms) {
  const std::int64_t deadline = steady_ms() + timeout_ms;
  Answers answers(statements);
  std::optional<Failure> failure;
  std::size_t next = 0;
  bool ended_one = false;  // libpq ends the answer to each command with a null
  for (;;) {
    for (;;) {
      int left = PQflush(connection_);
      if (left < 0 && PQstatus(connection_) != CONNECTION_OK)
        return std::unexpected(lost("it was sent to"));
      if (!PQisBusy(connection_)) break;
      if (auto ready = wait(deadline); !ready) return std::unexpected(ready.error());
      if (!PQconsumeInput(connection_)) return std::unexpected(lost("its answer was awaited"));
    }
    PGresult* result = PQgetResult(connection_);
    if (!result) {
      if (std::exchange(ended_one, true) || PQstatus(connection_) != CONNECTION_OK)
        return std::unexpected(lost("its answer was awaited"));
      continue;
    }
    ended_one = false;
    Rows rows(result);
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_PIPELINE_SYNC) break;
    if (next >= sent.size()) return std::unexpected(lost("its answers were counted"));
    const Sent& of = sent[next++];
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) {
      if (!of.is_parse) answers[of.statement] = std::move(rows);
    } else if (status != PGRES_PIPELINE_ABORTED && !failure) {
      std::string_view severity = field(result, PG_DIAG_SEVERITY_NONLOCALIZED);
      failure = Failure{.sqlstate = std::string(field(result, PG_DIAG_SQLSTATE)),
                        .message = std::string(field(result, PG_DIAG_MESSAGE_PRIMARY)),
                        .statement = of.statement,
                        .lost = severity != "ERROR"};
      if (failure->lost) {
        if (failure->message.empty()) failure->message = lost("its answer was awaited").message;
        return std::unexpected(std::move(*failure));
      }
    }
  }
  if (failure) return std::unexpected(std::move(*failure));
  return answers;
}

/// Until the server has sent something, or takes more.
Outcome<void> Connection::wait(std::int64_t deadline) {
  bool has_more = PQflush(connection_) == 1;
  pollfd descriptors[] = {
      {PQsocket(connection_), static_cast<short>(has_more ? POLLIN | POLLOUT : POLLIN), 0},
      {interrupt_.descriptor(), POLLIN, 0}};
  for (;;) {
    std::int64_t left = deadline - steady_ms();
    int ready = left > 0 ? ::poll(descriptors, 2, static_cast<int>(left)) : 0;
    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0)
      return std::unexpected(
          Failure{.message = "the database did not answer in time", .lost = true});
    if (ready < 0 || descriptors[1].revents)
      return std::unexpected(Failure{.message = "the wait was interrupted", .lost = true});
    return {};
  }
}

}  // namespace perdure::journal::postgres
