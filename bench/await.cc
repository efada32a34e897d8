// Looks at a server while it starts: when it listens, when it is ready, when all sessions can be
// read. Times are of CLOCK_MONOTONIC; whoever started the server knows when that was.
#include <fmt/format.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <exception>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/commands.h"
#include "bench/peer.h"
#include "bench/report.h"

namespace perdure::bench {
namespace {

constexpr int kReaders = 8;
constexpr auto kPause = std::chrono::microseconds(200);
constexpr std::int64_t kHangNs = 60'000'000'000;

struct Awaited {
  std::uint16_t port = 0;
  std::vector<std::string> ids;
  std::size_t begun = 0;
  std::size_t read = 0;
  std::int64_t listening_ns = 0;
  std::int64_t ready_ns = 0;
  std::int64_t all_read_ns = 0;
  std::exception_ptr failure;
};

Task<> pause() {
  boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor, kPause);
  co_await timer.async_wait(boost::asio::use_awaitable);
}

Task<bool> try_connect(Peer& peer, std::uint16_t port) {
  try {
    co_await peer.connect(port);
    co_return true;
  } catch (const boost::system::system_error&) {
    co_return false;
  }
}

Task<> connect(Peer& peer, std::uint16_t port) {
  const std::int64_t end = monotonic_ns() + kHangNs;
  while (!co_await try_connect(peer, port)) {
    if (monotonic_ns() > end) throw std::runtime_error("nobody listens");
    co_await pause();
  }
}

Task<> await_ready(boost::asio::io_context& loop, Awaited& awaited) {
  Peer peer(loop);
  co_await connect(peer, awaited.port);
  awaited.listening_ns = monotonic_ns();
  while (true) {
    const int status = co_await peer.begin(make_request("GET", "/readyz"));
    co_await peer.body();
    if (status == 200) break;
    co_await pause();
  }
  awaited.ready_ns = monotonic_ns();
}

Task<> read_sessions(boost::asio::io_context& loop, Awaited& awaited) {
  Peer peer(loop);
  co_await connect(peer, awaited.port);
  while (awaited.begun < awaited.ids.size()) {
    const std::string& id = awaited.ids[awaited.begun++];
    co_await peer.exchange(make_request("GET", fmt::format("/v1/agents/sessions/{}", id)));
    if (++awaited.read == awaited.ids.size()) awaited.all_read_ns = monotonic_ns();
  }
}

Task<> guarded(boost::asio::io_context& loop, Task<> task, Awaited& awaited) {
  try {
    co_await std::move(task);
  } catch (...) {
    awaited.failure = std::current_exception();
    loop.stop();
  }
}

}  // namespace

void await(const Arguments& arguments) {
  Awaited awaited{.port = static_cast<std::uint16_t>(arguments.number("port"))};
  std::ifstream file(arguments.text("ids"));
  for (std::string id; std::getline(file, id);) awaited.ids.push_back(id);
  boost::asio::io_context loop(1);
  async::spawn(loop.get_executor(), "ready", guarded(loop, await_ready(loop, awaited), awaited));
  for (int i = 0; i < kReaders; ++i)
    async::spawn(loop.get_executor(), "reader",
                 guarded(loop, read_sessions(loop, awaited), awaited));
  loop.run();
  if (awaited.failure) std::rethrow_exception(awaited.failure);
  Report()
      .add("listening_ns", static_cast<double>(awaited.listening_ns))
      .add("ready_ns", static_cast<double>(awaited.ready_ns))
      .add("all_read_ns", static_cast<double>(awaited.all_read_ns))
      .print();
}

}  // namespace perdure::bench
