#include "main/forwarder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "base/log.h"
#include "http/sse.h"
#include "identity/request_caller.h"

namespace perdure::app {
namespace {

using async::Task;
using http::Request;
using http::Response;

/// How long a request waits for its session to have a node. A node that died is given up after
/// three seconds.
constexpr std::int64_t kMovePatienceMs = 10'000;
constexpr std::size_t kMaxForwardedAnswer = 256 << 20;
/// Marks the answer of a node that has the session no more, and has done nothing.
constexpr std::string_view kElsewhereHeader = "Perdure-Elsewhere";

bool is_one_of(std::string_view name, std::initializer_list<std::string_view> names) {
  return std::ranges::any_of(names, [&](std::string_view other) {
    return std::ranges::equal(name, other, [](unsigned char a, unsigned char b) {
      return std::tolower(a) == std::tolower(b);
    });
  });
}

/// What the next node must not see, or makes itself.
bool stays_here(std::string_view name) {
  return name.starts_with(':') ||
         is_one_of(name, {"Host", "Authorization", "Connection", "Keep-Alive", "Content-Length",
                          "Transfer-Encoding", "TE", "Trailer", "Upgrade", "Expect", "Origin",
                          "Proxy-Authorization", "Proxy-Connection", kNodeHeader});
}

bool is_made_here(std::string_view name) {
  return is_one_of(name, {"Connection", "Keep-Alive", "Content-Length", "Transfer-Encoding", "Date",
                          "Server", "x-request-id"});
}

/// A request under way at another node, given up once that node has its session no more: one that
/// was paused would answer long after others have taken its work.
struct UnderWay {
  std::stop_source stop;
  bool done = false;
};

Task<> watch(std::shared_ptr<UnderWay> request, const cluster::Membership* membership,
             SessionKey key, std::uint64_t epoch) {
  constexpr std::int64_t kLookMs = 100;
  while (!request->done) {
    const auto holder = membership->holder_of(key);
    if (!holder || holder->epoch != epoch) request->stop.request_stop();
    co_await async::sleep_for(kLookMs);
  }
}

/// A stream of another node, on its way through: read as fast as the client takes it.
class Passing {
 public:
  static std::unique_ptr<http::ByteStream> start(const async::Executor& executor,
                                                 std::unique_ptr<http::ClientResponse> from,
                                                 std::shared_ptr<void> ended) {
    auto passing = std::make_shared<State>(executor);
    passing->ended = std::move(ended);
    passing->from = std::move(from);
    auto queue = std::make_unique<http::SseQueue>(
        executor, http::SseQueue::Limits{},
        http::SseQueue::Callbacks{.on_room = [passing] { passing->room.notify(); },
                                  .on_gone =
                                      [passing] {
                                        passing->queue = nullptr;
                                        if (passing->from) passing->from->cancel();
                                        passing->room.notify();
                                      }});
    passing->queue = queue.get();
    async::spawn(executor, "forwarded stream", pump(passing));
    return queue;
  }

 private:
  struct State {
    explicit State(const async::Executor& executor) : room(executor) {}
    std::shared_ptr<void> ended;  // told when this goes
    std::unique_ptr<http::ClientResponse> from;
    http::SseQueue* queue = nullptr;  // null once the client has gone
    async::Signal room;
  };

  static Task<> pump(std::shared_ptr<State> state) {
    while (state->queue) {
      auto piece = co_await state->from->read();
      if (!state->queue) co_return;
      // However it ended: the client goes on behind the last event it has.
      if (!piece || !*piece) break;
      auto text = std::make_shared<const std::string>(std::move(**piece));
      while (state->queue && !state->queue->push(text)) co_await state->room.wait();
    }
    if (state->queue) state->queue->close();
  }
};

}  // namespace

http::Route Forwarder::spread(http::Route route) {
  if (!route.about) return route;
  const auto plain = std::make_shared<const http::Route>(route);
  route.handler = [this, plain](Request request) {
    return run(plain->handler, plain.get(), std::move(request));
  };
  return route;
}

Task<Response> Forwarder::run(Handler handler, const http::Route* about, Request request) {
  const std::string subject = about->about(request);
  const std::size_t end = subject.find('\n');
  if (end == std::string::npos) co_return co_await handler(std::move(request));
  const SessionKey key{{subject.substr(0, end)}, {subject.substr(end + 1)}};
  const std::int64_t deadline = env_.monotonic_ms() + kMovePatienceMs;
  const bool from_node = request.headers.get(kNodeHeader).has_value();
  while (true) {
    if (membership_.holds(key) && membership_.sure())
      co_return co_await handler(std::move(request));
    if (from_node) break;  // the first one looks again
    const auto holder = membership_.holder_of(key);
    if (holder && holder->epoch != membership_.self()) {
      auto answer = co_await forward(*holder, key, &request);
      if (answer) co_return std::move(*answer);
    }
    if (env_.monotonic_ms() >= deadline) break;
    co_await membership_.look_again();
    co_await async::sleep_for(50);
  }
  Response response = error_shape_(503,
                                   {ErrorCode::kUnavailable,
                                    "The session is moving to another node; try again shortly.",
                                    {},
                                    {}},
                                   &request);
  response.headers.set("Retry-After", "1");
  if (from_node) response.headers.set(kElsewhereHeader, "1");
  co_return response;
}

Task<std::optional<Response>> Forwarder::forward(journal::Node node, SessionKey key,
                                                 const Request* request) {
  auto under_way = std::make_shared<UnderWay>();
  const std::shared_ptr<void> ended(nullptr, [under_way](void*) { under_way->done = true; });
  http::ClientRequest outgoing{
      .method = request->method, .url = node.url + request->target, .body = request->body};
  for (const auto& [name, value] : request->headers.all())
    if (!stays_here(name)) outgoing.headers.add(name, value);
  outgoing.headers.add(
      std::string(kNodeHeader),
      requests_.sign(*request, identity::caller_of(*request), membership_.self(), node.epoch));
  outgoing.timeouts.connect_ms = 1'000;
  outgoing.stop = under_way->stop.get_token();
  ++forwarded_;
  async::spawn(executor_, "watch a forwarded request",
               watch(under_way, &membership_, std::move(key), node.epoch));
  auto answer = co_await client_.send(std::move(outgoing));
  if (!answer) {
    if (answer.error().reason == http::kNotSent) co_return std::nullopt;
    log::warn("a request was lost on its way to another node",
              {{"node", node.url}, {"why", answer.error().message}});
    // What may be done twice, and what finds the answer of the first time, is sent again.
    if (request->method == "GET" || request->method == "HEAD" ||
        request->headers.get("Idempotency-Key"))
      co_return std::nullopt;
    Response lost = error_shape_(
        502,
        {ErrorCode::kUpstream,
         "The node that works on the session went away before it answered. The request may have "
         "been carried out: look before you send it again, or send an Idempotency-Key.",
         {},
         {}},
        request);
    lost.headers.set("x-should-retry", "false");
    co_return lost;
  }
  // It has joined anew, or the session went on: nothing was done there. Nor where our word for the
  // caller is not taken, which is given to one opening of a node: it has started anew since.
  if ((*answer)->headers().get(kElsewhereHeader) || (*answer)->status() == 401)
    co_return std::nullopt;

  Response response;
  response.status = (*answer)->status();
  for (const auto& [name, value] : (*answer)->headers().all())
    if (!is_made_here(name)) response.headers.add(name, value);
  const auto type = (*answer)->headers().get("Content-Type");
  if (type && type->starts_with("text/event-stream")) {
    // With the heartbeats of that node: one of ours could land inside an event.
    response.stream = Passing::start(executor_, std::move(*answer), ended);
    co_return response;
  }
  auto body = co_await (*answer)->read_all(kMaxForwardedAnswer);
  if (!body) {
    log::warn("an answer of another node broke off", {{"why", body.error().message}});
    co_return error_shape_(502,
                           {ErrorCode::kUpstream,
                            "The node that works on the session went away while it answered.",
                            {},
                            {}},
                           request);
  }
  response.body = std::move(*body);
  co_return response;
}

}  // namespace perdure::app
