#include "executor/client_state.h"

#include <fmt/format.h>

#include "async/within.h"
#include "base/log.h"

namespace perdure::executor {

// --- one process's output ------------------------------------------------------------------------

Followed::Followed(const async::Executor& executor, const Command& command, OutputSink to)
    : id(command.process_id),
      sink(std::move(to)),
      output(command.head_bytes, command.tail_bytes),
      news(executor) {
  if (command.timeout_ms > 0)
    deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(command.timeout_ms);
}

void Followed::take_piece(const OutputPiece& piece) {
  output.add(piece.bytes);
  if (sink) sink(piece.stream, piece.bytes);
}

void Followed::take_exit(int code, bool by_time_limit) {
  exited = true;
  exit_code = code;
  timed_out = timed_out || by_time_limit;
}

void Followed::take_notice(const OutputNotice& notice) {
  if (notice.piece.seq < expected) return;
  behind = notice.piece.seq > expected;  // else there is no gap, whatever was asked for meanwhile
  if (!behind) {
    expected = notice.piece.seq + 1;
    take_piece(notice.piece);
  }
  news.notify();
}

void Followed::take_notice(const ExitedNotice& notice) {
  if (notice.seq < expected) return;
  behind = notice.seq > expected;
  if (!behind) {
    expected = notice.seq + 1;
    take_exit(notice.exit_code, notice.timed_out);
  }
  news.notify();
}

void Followed::take_notice(const ClosedNotice& notice) {
  if (notice.seq && *notice.seq < expected) return;
  behind = !exited || (notice.seq ? *notice.seq > expected : behind);
  if (!behind) {
    if (notice.seq) expected = *notice.seq + 1;
    closed = true;
  }
  news.notify();
}

void Followed::take_read(const ReadAnswer& answer) {
  for (const OutputPiece& piece : answer.pieces) {
    if (piece.seq < expected) continue;
    // What the executor itself no longer has lies before the piece that follows the gap.
    if (piece.seq > expected && answer.dropped_bytes > dropped_bytes) {
      output.add_lost(answer.dropped_bytes - dropped_bytes);
      dropped_bytes = answer.dropped_bytes;
    }
    expected = piece.seq + 1;
    take_piece(piece);
  }
  bool all =
      answer.pieces.empty() || answer.next_seq > answer.pieces.back().seq + 1 || !answer.exited;
  expected = std::max(expected, answer.next_seq);
  // An end that was told counts once everything before it has come.
  if (answer.exited && (answer.pieces.empty() || all)) {
    take_exit(answer.exit_code, answer.timed_out);
    closed = answer.closed;
  }
  behind = !answer.pieces.empty();
  news.notify();
}

// --- the connection ------------------------------------------------------------------------------

ClientState::ClientState(async::Executor on, ExecutorClient::Dial how)
    : executor(std::move(on)), dial(std::move(how)), connecting(executor, 1) {}

async::Task<Result<void>> ClientState::connect() {
  auto self = shared_from_this();
  auto turn = co_await connecting.acquire();
  if (closed) co_return fail(ErrorCode::kUnavailable, "the executor's client was closed");
  if (link && !link->ended) co_return Result<void>();
  Result<void> connected;
  for (int attempt = 0; attempt < kConnectAttempts; ++attempt) {
    if (attempt > 0) co_await async::sleep_for(kConnectPauseMs);
    auto result = co_await async::within(kConnectMs, connect_once());
    connected = result ? std::move(*result)
                       : fail(ErrorCode::kDeadlineExceeded, "the executor does not answer");
    // A session that is gone stays gone.
    if (connected || closed || connected.error().code == ErrorCode::kInvalidArgument) break;
  }
  co_return connected;
}

async::Task<Result<void>> ClientState::connect_once() {
  CO_TRY(stream, co_await dial());
  if (closed) co_return fail(ErrorCode::kUnavailable, "the executor's client was closed");
  auto fresh = std::make_shared<Link>(executor);
  fresh->stream = std::move(stream);
  // Also where this coroutine is given up: its reader would wait for ever.
  struct Guard {
    Link* link;
    ~Guard() {
      if (link) link->stream->close();
    }
  } guard{fresh.get()};
  async::spawn(executor, "executor client", read_all(shared_from_this(), fresh));
  CO_TRY_VOID(co_await greet(fresh));
  guard.link = nullptr;
  link = fresh;
  for (auto& [id, weak] : followed) {
    auto one = weak.lock();
    if (!one) continue;
    one->behind = true;
    one->news.notify();
  }
  co_return Result<void>();
}

async::Task<Result<void>> ClientState::greet(std::shared_ptr<Link> fresh) {
  Call call{.method = "initialize",
            .params = initialize_params(hello ? hello->session_id : std::string())};
  bool lost = false;
  CO_TRY(answer, co_await ask_once(fresh, &call, &lost));
  CO_TRY(read, read_initialized(answer));
  CO_TRY_VOID(co_await fresh->stream->write(notification_text("initialized")));
  hello = std::move(read);
  co_return Result<void>();
}

void ClientState::close() {
  closed = true;
  if (link) link->stream->close();
}

void ClientState::drop(const std::shared_ptr<Link>& ended) {
  ended->ended = true;
  ended->stream->close();
  if (link == ended) link = nullptr;
}

async::Task<> ClientState::read_all(std::shared_ptr<ClientState> self, std::shared_ptr<Link> link) {
  while (true) {
    auto text = co_await link->stream->read();
    if (!text || !*text) break;
    auto message = read_incoming(**text);
    if (!message) {
      log::warn("an executor's message cannot be read", {{"why", message.error().message}});
      break;
    }
    self->take_in(*link, std::move(*message));
  }
  self->drop(link);
  for (auto& [id, waiting] : std::exchange(link->waiting, {})) {
    waiting->lost = true;
    waiting->answer = fail(ErrorCode::kUnavailable, "the executor's connection was lost");
    waiting->done.notify();
  }
  for (auto& [id, weak] : self->followed) {
    auto one = weak.lock();
    if (!one) continue;
    one->behind = true;
    one->news.notify();
  }
}

void ClientState::take_in(Link& from, Incoming message) {
  if (auto* answer = std::get_if<AnswerMessage>(&message)) {
    auto found = from.waiting.find(answer->id);
    if (found == from.waiting.end()) return;  // it came too late
    auto one = std::move(found->second);
    from.waiting.erase(found);
    if (answer->result) {
      if (one->on_result) one->on_result(*answer->result);
      one->answer = std::move(*answer->result);
    } else {
      const RpcError& error = answer->result.error();
      ErrorCode code = error.code == -32601   ? ErrorCode::kUnimplemented
                       : error.code == -32603 ? ErrorCode::kUpstream
                                              : ErrorCode::kInvalidArgument;
      one->answer = fail(code, error.message);
    }
    one->done.notify();
    return;
  }
  auto tell = [&](const auto& notice) {
    auto found = followed.find(notice.process_id);
    if (found == followed.end()) return;
    if (auto one = found->second.lock())
      one->take_notice(notice);
    else
      followed.erase(found);
  };
  if (auto* output = std::get_if<OutputNotice>(&message)) tell(*output);
  if (auto* exited = std::get_if<ExitedNotice>(&message)) tell(*exited);
  if (auto* ended = std::get_if<ClosedNotice>(&message)) tell(*ended);
}

// --- calls ---------------------------------------------------------------------------------------

async::Task<Result<json::value>> ClientState::ask_once(std::shared_ptr<Link> over, Call* call,
                                                       bool* lost) {
  if (over->waiting.size() >= kMaxOpenCalls)
    co_return fail(ErrorCode::kRateLimited, "too many calls wait for the executor");
  std::int64_t id = ++last_id;
  auto mine = std::make_shared<Waiting>(executor);
  mine->on_result = call->on_result;
  over->waiting.emplace(id, mine);
  std::string text = request_text(id, call->method, call->params);
  {
    auto turn = co_await over->writing.acquire();
    auto sent = co_await over->stream->write(std::move(text));
    if (!sent) {
      over->waiting.erase(id);
      *lost = true;
      co_return std::unexpected(sent.error());
    }
  }
  if (over->ended && !mine->answer) {  // its reader is gone already: nobody will answer
    over->waiting.erase(id);
    *lost = true;
    co_return fail(ErrorCode::kUnavailable, "the executor's connection was lost");
  }
  if (!mine->answer && !co_await mine->done.wait(call->deadline_ms) && !mine->answer) {
    over->waiting.erase(id);
    co_return fail(ErrorCode::kDeadlineExceeded,
                   fmt::format("the executor did not answer {} in time", call->method));
  }
  *lost = mine->lost;
  co_return std::move(*mine->answer);
}

async::Task<Result<json::value>> ClientState::ask(Call call) {
  auto self = shared_from_this();
  for (int attempt = 0;; ++attempt) {
    CO_TRY_VOID(co_await connect());
    auto over = link;
    if (!over) continue;  // lost again already
    bool lost = false;
    auto answer = co_await ask_once(over, &call, &lost);
    if (!lost || attempt >= 2) co_return answer;
    if (!call.repeatable)
      co_return fail(ErrorCode::kUnavailable,
                     fmt::format("the connection was lost during {}", call.method), {},
                     std::string(ExecutorClient::kOutcomeUnknown));
  }
}

async::Task<Result<void>> ClientState::catch_up(std::shared_ptr<Followed> one) {
  Call call{.method = "process/read",
            .params = read_params(one->id, one->expected - 1, 0),
            .repeatable = true};
  std::optional<Error> wrong;
  call.on_result = [one, &wrong](const json::value& result) {
    auto read = read_read(result);
    if (!read)
      wrong = read.error();
    else if (!read->failure.empty())
      wrong = Error{ErrorCode::kUpstream, read->failure};
    else
      one->take_read(*read);
  };
  CO_TRY_VOID(co_await ask(std::move(call)));
  if (wrong) co_return std::unexpected(*wrong);
  co_return Result<void>();
}

}  // namespace perdure::executor
