// The inside of an ExecutorClient: the connection, what waits for answers, what follows output.
//
// Shared by the client, its processes and the coroutine that reads; on one loop. `read_all` is the
// only one that reads the stream, and whatever it takes in changes the state before the next
// message is looked at: that is what makes the numbers of output add up.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "async/fifo_semaphore.h"
#include "async/signal.h"
#include "executor/client.h"

namespace perdure::executor {

/// A process whose output is taken in. Live while its notices come one after another; after a gap
/// it must catch up with process/read first, and after a new connection it asks what it missed.
struct Followed {
  Followed(const async::Executor& executor, const Command& command, OutputSink to);

  void take_piece(const OutputPiece& piece);
  void take_exit(int code, bool by_time_limit);
  void take_notice(const OutputNotice& notice);
  void take_notice(const ExitedNotice& notice);
  void take_notice(const ClosedNotice& notice);
  /// What process/read found behind `expected - 1`.
  void take_read(const ReadAnswer& answer);

  std::string id;
  OutputSink sink;
  CappedOutput output;
  std::uint64_t expected = 1;  ///< the number of the next event
  std::uint64_t dropped_bytes = 0;
  bool behind = false;  ///< must catch up
  bool exited = false, closed = false, timed_out = false;
  int exit_code = 0;
  std::optional<std::chrono::steady_clock::time_point> deadline;
  async::Signal news;
};

/// The path of a call: what it is, and whether it may be asked twice.
struct Call {
  std::string method;
  json::object params;
  bool repeatable = false;
  std::int64_t deadline_ms = kCallMs;
  /// Sees the answer in the order of messages, before anything behind it.
  std::function<void(const json::value&)> on_result;
};

struct ClientState : std::enable_shared_from_this<ClientState> {
  ClientState(async::Executor executor, ExecutorClient::Dial dial);

  async::Task<Result<void>> connect();
  async::Task<Result<json::value>> ask(Call call);
  /// Reads once; the follower may still be behind then.
  async::Task<Result<void>> catch_up(std::shared_ptr<Followed> followed);
  void close();

  struct Waiting {
    explicit Waiting(const async::Executor& executor) : done(executor) {}
    async::Signal done;
    std::function<void(const json::value&)> on_result;
    std::optional<Result<json::value>> answer;
    bool lost = false;  ///< with its connection
  };
  struct Link {
    explicit Link(const async::Executor& on) : writing(on, 1) {}
    std::unique_ptr<MessageStream> stream;
    async::FifoSemaphore writing;
    std::map<std::int64_t, std::shared_ptr<Waiting>> waiting;
    bool ended = false;
  };

  async::Task<Result<void>> connect_once();
  async::Task<Result<void>> greet(std::shared_ptr<Link> fresh);
  async::Task<Result<json::value>> ask_once(std::shared_ptr<Link> link, Call* call, bool* lost);
  static async::Task<> read_all(std::shared_ptr<ClientState> self, std::shared_ptr<Link> link);
  void take_in(Link& link, Incoming message);
  void drop(const std::shared_ptr<Link>& ended);

  async::Executor executor;
  ExecutorClient::Dial dial;
  async::FifoSemaphore connecting;
  std::shared_ptr<Link> link;  ///< null: not connected
  std::optional<Initialized> hello;
  bool closed = false;
  std::int64_t last_id = 0;
  std::map<std::string, std::weak_ptr<Followed>> followed;
};

}  // namespace perdure::executor
