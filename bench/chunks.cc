// How long a streamed piece is on its way: the stub model writes the time into each, on the clock
// that every process of a machine shares.
#include <fmt/format.h>

#include <boost/asio/io_context.hpp>
#include <charconv>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/commands.h"
#include "bench/peer.h"
#include "bench/report.h"

namespace perdure::bench {
namespace {

constexpr std::string_view kCall =
    R"({"model":"stub","messages":[{"role":"user","content":"hello"}],"stream":true})";
constexpr std::string_view kSession =
    R"({"agent":{"model":"stub"},"environment":{"type":"none"},"input":"hello","stream":true,)"
    R"("stream_options":{"include_obfuscation":false}})";

struct Pieces {
  std::vector<std::int64_t> on_the_way;
  std::exception_ptr failure;
};

/// Between two @; 0 where the event has no piece, or has all of them.
std::int64_t stamp_of(std::string_view event) {
  const std::size_t begin = event.find('@');
  const std::size_t end = begin == event.npos ? begin : event.find('@', begin + 1);
  if (end == event.npos || event.find('@', end + 1) != event.npos) return 0;
  std::int64_t stamp = 0;
  std::from_chars(event.data() + begin + 1, event.data() + end, stamp);
  return stamp;
}

Task<> follow(boost::asio::io_context& loop, const Arguments& arguments, Pieces& pieces) {
  const bool session = arguments.has("session");
  const std::string request = session ? make_request("POST", "/v1/agents/sessions", kSession)
                                      : make_request("POST", "/v1/chat/completions", kCall);
  const std::string_view mark = session ? R"(output_text.delta")" : R"("content":"@)";
  for (std::int64_t call = 0; call < arguments.number("count"); ++call) {
    Peer peer(loop);
    co_await peer.connect(static_cast<std::uint16_t>(arguments.number("port")));
    if (const int status = co_await peer.begin(request); status != 200 && status != 201)
      throw std::runtime_error(fmt::format("status {}: {}", status, co_await peer.body()));
    while (auto event = co_await peer.next_event()) {
      if (event->find(mark) == event->npos) continue;
      if (const std::int64_t stamp = stamp_of(*event); stamp != 0)
        pieces.on_the_way.push_back(monotonic_ns() - stamp);
    }
  }
}

Task<> guarded(boost::asio::io_context& loop, const Arguments& arguments, Pieces& pieces) {
  try {
    co_await follow(loop, arguments, pieces);
  } catch (...) {
    pieces.failure = std::current_exception();
  }
}

}  // namespace

void chunks(const Arguments& arguments) {
  boost::asio::io_context loop(1);
  Pieces pieces;
  async::spawn(loop.get_executor(), "chunks", guarded(loop, arguments, pieces));
  loop.run();
  if (pieces.failure) std::rethrow_exception(pieces.failure);
  Report().latencies("piece", std::move(pieces.on_the_way)).print();
}

}  // namespace perdure::bench
