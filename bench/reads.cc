// GETs at full speed, and streams that are read up to their last event.
#include <fmt/format.h>

#include <boost/asio/io_context.hpp>
#include <exception>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/commands.h"
#include "bench/peer.h"
#include "bench/report.h"

namespace perdure::bench {
namespace {

struct Reads {
  explicit Reads(const Arguments& arguments)
      : port(static_cast<std::uint16_t>(arguments.number("port"))),
        count(arguments.number("count")),
        stop_at(arguments.has("stop-at") ? arguments.text("stop-at") : "") {
    std::ifstream file(arguments.text("paths"));
    for (std::string path; std::getline(file, path);) requests.push_back(make_request("GET", path));
    if (requests.empty()) throw std::runtime_error("there are no paths to read");
  }

  /// The next request, nullptr when all were made.
  const std::string* next() {
    if (begun == count) return nullptr;
    return &requests[static_cast<std::size_t>(begun++) % requests.size()];
  }

  std::uint16_t port;
  std::int64_t count;
  std::string stop_at;
  std::vector<std::string> requests;
  std::int64_t begun = 0;
  std::uint64_t bytes = 0;
  std::vector<std::int64_t> durations;
  std::exception_ptr failure;
};

Task<> read_whole(boost::asio::io_context& loop, Reads& reads) {
  Peer peer(loop);
  co_await peer.connect(reads.port);
  while (const std::string* request = reads.next()) {
    const std::int64_t started = monotonic_ns();
    const std::uint64_t before = peer.received();
    co_await peer.exchange(*request);
    reads.durations.push_back(monotonic_ns() - started);
    reads.bytes += peer.received() - before;
  }
}

Task<> read_streams(boost::asio::io_context& loop, Reads& reads) {
  while (const std::string* request = reads.next()) {
    Peer peer(loop);
    const std::int64_t started = monotonic_ns();
    co_await peer.connect(reads.port);
    if (const int status = co_await peer.begin(*request); status != 200)
      throw std::runtime_error(fmt::format("status {}: {}", status, co_await peer.body()));
    while (true) {
      auto event = co_await peer.next_event();
      if (!event) throw std::runtime_error("the stream ended before '" + reads.stop_at + "'");
      if (event->find(reads.stop_at) != std::string::npos) break;
    }
    reads.durations.push_back(monotonic_ns() - started);
    reads.bytes += peer.received();
  }
}

Task<> guarded(boost::asio::io_context& loop, Reads& reads) {
  try {
    if (reads.stop_at.empty())
      co_await read_whole(loop, reads);
    else
      co_await read_streams(loop, reads);
  } catch (...) {
    reads.failure = std::current_exception();
    loop.stop();
  }
}

}  // namespace

void reads(const Arguments& arguments) {
  Reads reads(arguments);
  boost::asio::io_context loop(1);
  const std::int64_t clients = arguments.number("clients", 1);
  const std::int64_t started = monotonic_ns();
  for (std::int64_t i = 0; i < clients; ++i)
    async::spawn(loop.get_executor(), "reader", guarded(loop, reads));
  loop.run();
  if (reads.failure) std::rethrow_exception(reads.failure);
  Report()
      .add("reads", static_cast<double>(reads.begun))
      .add("seconds", static_cast<double>(monotonic_ns() - started) / 1e9)
      .add("bytes_each", static_cast<double>(reads.bytes) / static_cast<double>(reads.begun))
      .latencies("read", std::move(reads.durations))
      .print();
}

}  // namespace perdure::bench
