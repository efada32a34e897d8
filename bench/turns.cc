// Clients of the Agents API that do turns as fast as they are answered: create a session with a
// stream, follow it, send the next message, give the tool's result when the model asks for it.
#include <fmt/format.h>

#include <boost/asio/io_context.hpp>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/commands.h"
#include "bench/peer.h"
#include "bench/report.h"

namespace perdure::bench {
namespace {

constexpr std::string_view kTool =
    R"({"type":"function","name":"look","description":"Looks.","parameters":{"type":"object",)"
    R"("properties":{}}})";

struct Plan {
  explicit Plan(const Arguments& arguments)
      : port(static_cast<std::uint16_t>(arguments.number("port"))),
        clients(arguments.number("clients", 1)),
        turns(arguments.number("turns", 0)),
        session_turns(arguments.number("session-turns", 10)),
        batch(arguments.number("batch", 1)),
        batch_turns(arguments.number("batch-turns", 0)),
        tool(arguments.has("tool")),
        server_pid(static_cast<int>(arguments.number("server-pid", 0))),
        text(tool ? "use the tool " : "hello ") {
    const auto bytes = static_cast<std::size_t>(arguments.number("text-bytes", 64));
    if (text.size() < bytes) text.append(bytes - text.size(), 'u');
    if (turns == 0) deadline = monotonic_ns() + arguments.number("seconds") * 1'000'000'000;
  }

  bool over(std::int64_t done) const {
    return turns != 0 ? done >= turns : monotonic_ns() >= deadline;
  }

  std::uint16_t port;
  std::int64_t clients;
  std::int64_t turns;
  std::int64_t session_turns;
  std::int64_t batch;
  std::int64_t batch_turns;
  bool tool;
  int server_pid;
  std::string text;
  std::int64_t deadline = 0;
};

/// What all clients measured. Only turns in an open session are timed, not those that create one.
struct Measured {
  std::int64_t turns = 0;
  std::vector<std::int64_t> first_ns;
  std::vector<std::int64_t> turn_ns;
  std::vector<std::int64_t> cpu_ns;  ///< the server's, by turn; where one client runs
  std::exception_ptr failure;
  std::string last_session;
};

class Client {
 public:
  Client(boost::asio::io_context& loop, const Plan& plan, Measured& measured)
      : loop_(loop), plan_(plan), measured_(measured), stream_(loop), commands_(loop) {}

  Task<> run() {
    try {
      co_await commands_.connect(plan_.port);
      while (!plan_.over(done_)) co_await session();
    } catch (...) {
      if (!measured_.failure) measured_.failure = std::current_exception();
      loop_.stop();
    }
  }

 private:
  Task<> session() {
    cpu_ = cpu();
    co_await stream_.connect(plan_.port);
    co_await expect(201, make_request("POST", "/v1/agents/sessions", create_body()));
    co_await follow();
    while (co_await stream_.next_event()) continue;
    const std::string events = fmt::format("/v1/agents/sessions/{}/events", session_);
    co_await expect(200, make_request("GET", events));
    for (std::int64_t turn = 1; turn < plan_.session_turns && !plan_.over(done_); ++turn) {
      const std::int64_t messages = turn <= plan_.batch_turns ? plan_.batch : 1;
      started_ = monotonic_ns();
      co_await commands_.exchange(make_request("POST", events, message_body(messages)));
      co_await follow();
    }
    stream_.close();
    measured_.last_session = session_;
  }

  Task<> expect(int wanted, std::string request) {
    const int status = co_await stream_.begin(std::move(request));
    if (status != wanted)
      throw std::runtime_error(
          fmt::format("status {} and not {}: {}", status, wanted, co_await stream_.body()));
  }

  /// One turn's events up to its end.
  Task<> follow() {
    bool first = true;
    while (true) {
      auto event = co_await stream_.next_event();
      if (!event) throw std::runtime_error("the stream ended within a turn");
      const std::string_view type = member(*event, "type");
      if (type == "agent.session.created") {
        session_ = member(std::string_view(*event).substr(event->find("\"session\"")), "id");
      } else if (type == "agent.session.turn.output_text.delta" && std::exchange(first, false)) {
        if (started_ != 0) measured_.first_ns.push_back(monotonic_ns() - started_);
      } else if (type == "agent.session.turn.item.added" &&
                 event->find(R"("type":"function_call")") != std::string::npos) {
        co_await give_result(*event);
      } else if (type == "agent.session.turn.failed") {
        throw std::runtime_error("a turn failed: " + *event);
      } else if (type == "agent.session.idle") {
        break;
      }
    }
    if (started_ != 0) measured_.turn_ns.push_back(monotonic_ns() - started_);
    started_ = 0;
    ++done_;
    ++measured_.turns;
    if (plan_.server_pid == 0) co_return;
    const std::int64_t now = cpu();
    measured_.cpu_ns.push_back(now - std::exchange(cpu_, now));
  }

  Task<> give_result(std::string event) {
    const std::string body = fmt::format(
        R"({{"events":[{{"type":"agent.session.input.tool_result","turn_id":"{}","call_id":"{}",)"
        R"("success":true,"output":"seen"}}]}})",
        member(event, "turn_id"), member(event, "call_id"));
    const std::string path = fmt::format("/v1/agents/sessions/{}/events", session_);
    co_await commands_.exchange(make_request("POST", path, body));
  }

  std::string create_body() const {
    return fmt::format(
        R"({{"agent":{{"model":"stub","tools":[{}]}},"environment":{{"type":"none"}},)"
        R"("input":"{}","stream":true}})",
        plan_.tool ? kTool : "", plan_.text);
  }

  std::string message_body(std::int64_t messages) const {
    const std::string one =
        fmt::format(R"({{"type":"agent.session.input.message","input":[{{"role":"user","content":)"
                    R"([{{"type":"input_text","text":"{}"}}]}}]}})",
                    plan_.text);
    std::string body = R"({"events":[)" + one;
    for (std::int64_t i = 1; i < messages; ++i) body.append(",").append(one);
    return body + "]}";
  }

  std::int64_t cpu() const { return plan_.server_pid == 0 ? 0 : process_cpu_ns(plan_.server_pid); }

  boost::asio::io_context& loop_;
  const Plan& plan_;
  Measured& measured_;
  Peer stream_;
  Peer commands_;
  std::string session_;
  std::int64_t done_ = 0;
  std::int64_t started_ = 0;  // 0: this turn is not timed
  std::int64_t cpu_ = 0;
};

struct DirectTimes {
  std::vector<std::int64_t> first_ns;
  std::vector<std::int64_t> whole_ns;
  std::exception_ptr failure;
};

Task<> call_directly(boost::asio::io_context& loop, std::uint16_t port, std::int64_t count,
                     std::string text, DirectTimes& times) {
  Peer peer(loop);
  const std::string request =
      make_request("POST", "/v1/chat/completions",
                   fmt::format(R"({{"model":"stub","messages":[{{"role":"user","content":"{}"}}],)"
                               R"("stream":true,"stream_options":{{"include_usage":true}}}})",
                               text));
  co_await peer.connect(port);
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t started = monotonic_ns();
    co_await peer.begin(request);
    bool first = true;
    while (auto event = co_await peer.next_event())
      if (event->find("\"content\":\"a") != std::string::npos && std::exchange(first, false))
        times.first_ns.push_back(monotonic_ns() - started);
    times.whole_ns.push_back(monotonic_ns() - started);
  }
}

}  // namespace

void turns(const Arguments& arguments) {
  const Plan plan(arguments);
  boost::asio::io_context loop(1);
  Measured measured;
  std::vector<std::unique_ptr<Client>> clients;
  for (std::int64_t i = 0; i < plan.clients; ++i)
    clients.push_back(std::make_unique<Client>(loop, plan, measured));
  const std::int64_t started = monotonic_ns();
  for (auto& client : clients) async::spawn(loop.get_executor(), "client", client->run());
  loop.run();
  if (measured.failure) std::rethrow_exception(measured.failure);
  Report report;
  report.add("turns", static_cast<double>(measured.turns))
      .add("seconds", static_cast<double>(monotonic_ns() - started) / 1e9)
      .latencies("first", std::move(measured.first_ns))
      .latencies("turn", std::move(measured.turn_ns));
  if (plan.server_pid != 0) report.add("cpu_ns", measured.cpu_ns);
  report.print();
}

void direct(const Arguments& arguments) {
  boost::asio::io_context loop(1);
  DirectTimes times;
  const std::string text(static_cast<std::size_t>(arguments.number("text-bytes", 64)), 'u');
  async::spawn(loop.get_executor(), "direct",
               call_directly(loop, static_cast<std::uint16_t>(arguments.number("port")),
                             arguments.number("count"), text, times));
  loop.run();
  Report()
      .latencies("first", std::move(times.first_ns))
      .latencies("turn", std::move(times.whole_ns))
      .print();
}

}  // namespace perdure::bench
