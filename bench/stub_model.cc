// The stub model: it looks at the last role of a request's messages and sends a prepared answer,
// the first piece in one write and the rest in a second, so that a first token can be told from the
// last.
#include <fmt/format.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <cstdio>
#include <string>
#include <string_view>

#include "async/task.h"
#include "bench/commands.h"
#include "bench/report.h"

namespace perdure::bench {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using async::Task;

constexpr std::size_t kRead = 64 << 10;

std::string chunk_of(std::string_view body) {
  return fmt::format("{:x}\r\n{}\r\n", body.size(), body);
}

std::string delta(std::string_view delta, std::string_view finish) {
  return fmt::format(
      "data: {{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"model\":\"stub\","
      "\"choices\":[{{\"index\":0,\"delta\":{},\"finish_reason\":{}}}]}}\n\n",
      delta, finish);
}

std::string end_of_answer(std::string_view finish) {
  return delta("{}", fmt::format("\"{}\"", finish)) +
         "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"model\":\"stub\","
         "\"choices\":[],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":5,"
         "\"total_tokens\":15}}\n\ndata: [DONE]\n\n";
}

/// An answer in two writes.
struct Answer {
  std::string first;
  std::string rest;
};

Answer text_answer(std::int64_t pieces, std::int64_t piece_bytes) {
  const std::string piece(static_cast<std::size_t>(piece_bytes), 'a');
  const std::string one = delta(fmt::format("{{\"content\":\"{}\"}}", piece), "null");
  Answer answer{.first = delta(R"({"role":"assistant","content":""})", "null") + one, .rest = {}};
  for (std::int64_t i = 1; i < pieces; ++i) answer.rest += one;
  answer.rest += end_of_answer("stop");
  return answer;
}

Answer tool_answer() {
  return {.first = delta(R"({"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"c1",)"
                         R"("type":"function","function":{"name":"look","arguments":"{}"}}]})",
                         "null"),
          .rest = end_of_answer("tool_calls")};
}

class StubModel {
 public:
  explicit StubModel(const Arguments& arguments)
      : hang_(arguments.has("hang")),
        stamped_(arguments.number("stamped", 0)),
        gap_(arguments.number("gap-us", 0)),
        text_(text_answer(arguments.number("pieces", 16), arguments.number("piece-bytes", 16))),
        tool_(tool_answer()),
        acceptor_(loop_, {asio::ip::address_v4::loopback(), 0}) {}

  void run() {
    Report().add("port", acceptor_.local_endpoint().port()).print();
    async::spawn(loop_.get_executor(), "accept", accept());
    loop_.run();
  }

 private:
  Task<> accept() {
    while (true) {
      tcp::socket socket = co_await acceptor_.async_accept(asio::use_awaitable);
      async::spawn(loop_.get_executor(), "connection", serve(std::move(socket)));
    }
  }

  Task<> serve(tcp::socket socket) {
    socket.set_option(tcp::no_delay(true));
    try {
      co_await serve_requests(socket);
    } catch (const boost::system::system_error&) {
      // The caller left.
    }
  }

  Task<> serve_requests(tcp::socket& socket) {
    std::string input;
    while (true) {
      const std::size_t head = co_await read_until_head(socket, input);
      const std::size_t whole = head + body_length(std::string_view(input).substr(0, head));
      while (input.size() < whole) co_await read_some(socket, input);
      const std::string request = input.substr(0, whole);
      input.erase(0, whole);
      co_await answer(socket, request);
    }
  }

  static Task<std::size_t> read_until_head(tcp::socket& socket, std::string& input) {
    std::size_t end = 0;
    while ((end = input.find("\r\n\r\n")) == std::string::npos) co_await read_some(socket, input);
    co_return end + 4;
  }

  static Task<> read_some(tcp::socket& socket, std::string& input) {
    const std::size_t old = input.size();
    input.resize(old + kRead);
    const std::size_t count = co_await socket.async_read_some(
        asio::buffer(input.data() + old, kRead), asio::use_awaitable);
    input.resize(old + count);
  }

  static std::size_t body_length(std::string_view head) {
    for (std::string_view name : {"Content-Length: ", "content-length: "})
      if (const std::size_t at = head.find(name); at != std::string_view::npos)
        return std::strtoul(head.data() + at + name.size(), nullptr, 10);
    return 0;
  }

  Task<> answer(tcp::socket& socket, const std::string& request) {
    if (request.starts_with("GET /stats")) co_return co_await send_json(socket, stats());
    if (request.starts_with("POST /reset")) {
      calls_ = bytes_ = first_ns_ = 0;
      co_return co_await send_json(socket, "{}");
    }
    if (request.starts_with("GET "))
      co_return co_await send_json(socket, R"({"object":"list","data":[{"id":"stub"}]})");
    if (calls_++ == 0) first_ns_ = monotonic_ns();
    bytes_ += static_cast<std::int64_t>(request.size());
    if (hang_) co_return;
    const Answer& prepared = wants_tool(request) ? tool_ : text_;
    static constexpr std::string_view kHead =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    if (stamped_ > 0) co_return co_await stream_stamped(socket, std::string(kHead));
    co_await send(socket, std::string(kHead) + chunk_of(prepared.first));
    co_await send(socket, chunk_of(prepared.rest) + "0\r\n\r\n");
  }

  /// Pieces in writes of their own, a pause between them; each says when it was sent.
  Task<> stream_stamped(tcp::socket& socket, std::string head) {
    asio::steady_timer pause(loop_);
    co_await send(socket, head + chunk_of(delta(R"({"role":"assistant","content":""})", "null")));
    for (std::int64_t i = 0; i < stamped_; ++i) {
      pause.expires_after(gap_);
      co_await pause.async_wait(asio::use_awaitable);
      co_await send(
          socket, chunk_of(delta(fmt::format(R"({{"content":"@{}@"}})", monotonic_ns()), "null")));
    }
    co_await send(socket, chunk_of(end_of_answer("stop")) + "0\r\n\r\n");
  }

  /// The last message is the user's, and says so.
  static bool wants_tool(std::string_view request) {
    const std::size_t role = request.rfind("\"role\":\"");
    if (role == std::string_view::npos) return false;
    const std::string_view last = request.substr(role + 8);
    return last.starts_with("user") && last.find("use the tool") != std::string_view::npos;
  }

  std::string stats() const {
    return fmt::format(R"({{"calls": {}, "bytes": {}, "first_ns": {}}})", calls_, bytes_,
                       first_ns_);
  }

  static Task<> send_json(tcp::socket& socket, std::string body) {
    co_await send(socket, fmt::format("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                                      "Content-Length: {}\r\n\r\n{}",
                                      body.size(), body));
  }

  static Task<> send(tcp::socket& socket, std::string text) {
    co_await asio::async_write(socket, asio::buffer(text), asio::use_awaitable);
  }

  bool hang_;
  std::int64_t stamped_;
  std::chrono::microseconds gap_;
  Answer text_;
  Answer tool_;
  asio::io_context loop_{1};
  tcp::acceptor acceptor_;
  std::int64_t calls_ = 0;
  std::int64_t bytes_ = 0;
  std::int64_t first_ns_ = 0;
};

}  // namespace

void stub_model(const Arguments& arguments) {
  StubModel(arguments).run();
}

}  // namespace perdure::bench
