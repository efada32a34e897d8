#include "http/client.h"

#include <fmt/format.h>

#include <algorithm>

#include "async/task.h"
#include "http/ascii.h"
#include "http/chunk_decoder.h"
#include "http/client_connection.h"
#include "http/client_limits.h"
#include "http/client_pool.h"
#include "http/response_parser.h"
#include "http/url.h"

namespace perdure::http {
namespace {

// --- The request's bytes ------------------------------------------------------------------------

/// Fields that say how the message is cut or whom it is for: one writer only.
bool is_ours(std::string_view name) {
  for (std::string_view ours : {"host", "content-length", "transfer-encoding", "connection",
                                "keep-alive", "te", "trailer", "upgrade", "expect"})
    if (equal_ignoring_case(name, ours)) return true;
  return false;
}

Result<std::string> write_head(const ClientRequest& request, const Url& url) {
  if (!is_token(request.method))
    return fail(ErrorCode::kInvalidArgument, "The request method is not a word.");
  std::string head =
      fmt::format("{} {} HTTP/1.1\r\nHost: {}\r\n", request.method, url.target, url.authority);
  for (const auto& [name, value] : request.headers.all()) {
    if (!is_token(name) || !std::all_of(value.begin(), value.end(), is_field_value_char))
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("The header field \"{}\" has a character that cannot be sent.",
                              is_token(name) ? name : "?"));
    if (is_ours(name))
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("The header field \"{}\" is set by the client itself.", name));
    fmt::format_to(std::back_inserter(head), "{}: {}\r\n", name, value);
  }
  if (!request.headers.get("user-agent")) head += "User-Agent: perdure\r\n";
  bool usually_has_body =
      request.method == "POST" || request.method == "PUT" || request.method == "PATCH";
  if (usually_has_body || !request.body.empty())
    fmt::format_to(std::back_inserter(head), "Content-Length: {}\r\n", request.body.size());
  head += "\r\n";
  return head;
}

// --- One request and its answer -----------------------------------------------------------------

/// Lives until the answer's body has been read or given up. Shared by the response, by `send` until
/// there is one, and by the coroutine that sends what did not fit into the socket at once.
class Exchange : public std::enable_shared_from_this<Exchange> {
 public:
  Exchange(std::shared_ptr<ClientPool> pool, std::string origin, ClientRequest request,
           std::string head)
      : pool_(std::move(pool)),
        origin_(std::move(origin)),
        method_(std::move(request.method)),
        head_(std::move(head)),
        body_(std::move(request.body)),
        timeouts_(request.timeouts),
        on_stop_(std::move(request.stop), Cancel{this}) {
    if (body_.size() <= kMaxJoinedBody) head_ += std::exchange(body_, {});
  }

  /// Connects, sends, and reads the answer's head.
  Task<Result<void>> start(Url url);
  Task<Result<std::optional<std::string>>> read();
  void cancel();

  int status = 0;
  Headers headers;

 private:
  struct Cancel {
    Exchange* exchange;
    void operator()() const { exchange->cancel(); }
  };

  Task<Result<void>> attempt();
  static Task<> send_rest(std::shared_ptr<Exchange> self,
                          std::shared_ptr<ClientConnection> connection, std::size_t sent);
  Task<Result<void>> read_head();
  Task<Result<std::optional<std::string>>> read_piece();
  Task<Result<void>> fill();
  Result<std::string> take_body();
  void end_body();

  std::string_view unsent(std::size_t sent) const {
    std::string_view head = head_, body = body_;
    return sent < head.size() ? head.substr(sent) : body.substr(sent - head.size());
  }
  bool is_safe() const { return method_ == "GET" || method_ == "HEAD"; }
  std::unexpected<Error> broken(std::string_view what) const {
    return fail(ErrorCode::kUpstream, fmt::format("{}: {}.", origin_, what));
  }

  std::shared_ptr<ClientPool> pool_;
  std::string origin_;
  std::string method_;
  std::string head_;  ///< with a small body behind it
  std::string body_;
  ClientTimeouts timeouts_;

  std::shared_ptr<ClientConnection> connection_;  ///< nullptr before the first and after the end
  bool sent_ = false;                             ///< the whole request has been written
  bool answered_ = false;                         ///< a byte of the answer has come
  std::string received_;                          ///< bytes not yet consumed
  bool peer_ended_ = false;                       ///< there will be no more of them

  BodyEnd body_end_ = BodyEnd::kNone;
  bool keep_alive_ = false;
  std::uint64_t left_ = 0;  ///< of a body with a length
  ChunkDecoder chunks_{SIZE_MAX};
  bool ended_ = false;
  std::optional<Error> failed_;

  std::stop_callback<Cancel> on_stop_;  ///< last: it may call `cancel` while it is constructed
};

Task<Result<void>> Exchange::start(Url url) {
  auto self = shared_from_this();  // `send` may be abandoned meanwhile
  if (failed_) co_return std::unexpected(*failed_);
  connection_ = pool_->take(origin_);
  if (connection_) {
    auto result = co_await attempt();
    bool died_unheard = !result && result.error().code == ErrorCode::kUpstream && !answered_;
    if (!died_unheard || !is_safe() || failed_) co_return result;
  }
  connection_ = pool_->make(url);
  if (auto connected = co_await connection_->connect(timeouts_.connect_ms); !connected) {
    Error error = std::move(connected).error();
    error.reason = kNotSent;
    co_return std::unexpected(std::move(error));
  }
  co_return co_await attempt();
}

Task<Result<void>> Exchange::attempt() {
  auto connection = connection_;
  sent_ = peer_ended_ = false;
  connection->set_deadline(timeouts_.headers_ms, "waiting for the answer");
  // The first write nearly always takes all. The rest of a large request is sent while the answer
  // is read: a server may refuse it early and stop reading.
  auto first = co_await connection->write_some(unsent(0));
  std::size_t sent = first.value_or(0);
  sent_ = sent == head_.size() + body_.size();
  if (first && !sent_)
    async::spawn(pool_->executor(), "http request",
                 send_rest(shared_from_this(), connection, sent));
  auto result = co_await read_head();
  if (result) co_return result;
  if (failed_) co_return std::unexpected(*failed_);
  connection->close();
  co_return result;
}

Task<> Exchange::send_rest(std::shared_ptr<Exchange> self,
                           std::shared_ptr<ClientConnection> connection, std::size_t sent) {
  std::size_t total = self->head_.size() + self->body_.size();
  while (sent < total) {
    auto count = co_await connection->write_some(self->unsent(sent));
    if (!count) co_return;  // reading tells why
    sent += *count;
  }
  if (self->connection_ == connection) self->sent_ = true;
}

Task<Result<void>> Exchange::read_head() {
  for (int interim = 0; interim <= kMaxInterimAnswers; ++interim) {
    ResponseParser parser(method_ == "HEAD");
    for (bool done = false; !done;) {
      if (received_.empty()) {
        CO_TRY_VOID(co_await fill());
      }
      std::size_t consumed = 0;
      auto parsed = parser.parse(received_, consumed);
      if (!parsed) co_return broken(parsed.error().message);
      received_.erase(0, consumed);
      done = *parsed;
      if (!done && !received_.empty()) {
        CO_TRY_VOID(co_await fill());
      }
    }
    if (parser.is_interim()) continue;
    status = parser.status();
    headers = std::move(parser.headers());
    body_end_ = parser.body_end();
    keep_alive_ = parser.keep_alive();
    left_ = parser.content_length();
    connection_->clear_deadline();
    if (body_end_ == BodyEnd::kNone) end_body();
    co_return Result<void>();
  }
  co_return broken("it sent too many interim answers");
}

/// Reads more into received_; fails at the peer's end.
Task<Result<void>> Exchange::fill() {
  auto connection = connection_;
  std::size_t old_size = received_.size();
  received_.resize(old_size + kClientReadBuffer);
  auto count = co_await connection->read_some(received_.data() + old_size, kClientReadBuffer);
  received_.resize(old_size + count.value_or(0));
  if (!count) co_return std::unexpected(count.error());
  answered_ |= *count > 0;
  peer_ended_ = *count == 0;
  if (!peer_ended_ || body_end_ == BodyEnd::kClose) co_return Result<void>();
  co_return broken(answered_ ? "it closed the connection in the middle of the answer"
                             : "it closed the connection without an answer");
}

Task<Result<std::optional<std::string>>> Exchange::read() {
  auto self = shared_from_this();  // the response may be destroyed meanwhile
  if (failed_) co_return std::unexpected(*failed_);
  auto piece = co_await read_piece();
  if (!piece && !failed_) failed_ = piece.error();
  if (failed_) {
    cancel();
    co_return std::unexpected(*failed_);
  }
  co_return piece;
}

Task<Result<std::optional<std::string>>> Exchange::read_piece() {
  while (!ended_) {
    CO_TRY(piece, take_body());
    if (!piece.empty()) co_return std::optional(std::move(piece));
    if (ended_) break;
    auto connection = connection_;
    connection->set_deadline(timeouts_.idle_ms, "waiting for more of the answer");
    auto filled = co_await fill();
    connection->clear_deadline();
    if (!filled) co_return std::unexpected(filled.error());
  }
  co_return std::nullopt;
}

/// What received_ has of the body.
Result<std::string> Exchange::take_body() {
  std::string piece;
  switch (body_end_) {
    case BodyEnd::kNone:
      break;
    case BodyEnd::kClose:
      piece = std::exchange(received_, {});
      if (peer_ended_) end_body();
      break;
    case BodyEnd::kLength: {
      std::size_t size = static_cast<std::size_t>(std::min<std::uint64_t>(left_, received_.size()));
      piece = received_.substr(0, size);
      received_.erase(0, size);
      left_ -= size;
      if (left_ == 0) end_body();
      break;
    }
    case BodyEnd::kChunked: {
      std::size_t consumed = 0;
      auto state = chunks_.decode(received_, consumed, piece);
      received_.erase(0, consumed);
      if (state == ChunkDecoder::State::kDone)
        end_body();
      else if (state != ChunkDecoder::State::kMore)
        return broken("a chunk of the answer is malformed");
      break;
    }
  }
  return piece;
}

/// The answer is complete: the connection serves others, or goes.
void Exchange::end_body() {
  ended_ = true;
  auto connection = std::exchange(connection_, nullptr);
  if (keep_alive_ && sent_ && received_.empty())
    pool_->put(origin_, std::move(connection));
  else
    connection->close();
  received_ = {};
}

void Exchange::cancel() {
  if (ended_) return;
  if (!failed_)
    failed_ = Error{ErrorCode::kCancelled, origin_ + ": the request was cancelled.", {}, {}};
  if (connection_) connection_->close();
}

// --- The interface ------------------------------------------------------------------------------

class ExchangeResponse final : public ClientResponse {
 public:
  explicit ExchangeResponse(std::shared_ptr<Exchange> exchange) : exchange_(std::move(exchange)) {}
  ~ExchangeResponse() override { exchange_->cancel(); }
  int status() const override { return exchange_->status; }
  const Headers& headers() const override { return exchange_->headers; }
  Task<Result<std::optional<std::string>>> read() override { return exchange_->read(); }
  void cancel() override { exchange_->cancel(); }

 private:
  std::shared_ptr<Exchange> exchange_;
};

/// A free function with its own references: the client may go while this runs.
Task<Result<std::unique_ptr<ClientResponse>>> send_with(std::shared_ptr<ClientPool> pool,
                                                        ClientRequest request) {
  CO_TRY(url, parse_url(request.url));
  CO_TRY(head, write_head(request, url));
  auto exchange = std::make_shared<Exchange>(std::move(pool), url.origin(), std::move(request),
                                             std::move(head));
  CO_TRY_VOID(co_await exchange->start(std::move(url)));
  co_return std::make_unique<ExchangeResponse>(std::move(exchange));
}

class PooledClient final : public Client {
 public:
  PooledClient(async::Executor executor, ClientSettings settings)
      : pool_(std::make_shared<ClientPool>(std::move(executor), std::move(settings))) {}
  ~PooledClient() override { pool_->shut(); }
  Task<Result<std::unique_ptr<ClientResponse>>> send(ClientRequest request) override {
    return send_with(pool_, std::move(request));
  }

 private:
  std::shared_ptr<ClientPool> pool_;
};

}  // namespace

Task<Result<std::string>> ClientResponse::read_all(std::size_t limit) {
  std::string body;
  for (;;) {
    CO_TRY(piece, co_await read());
    if (!piece) co_return body;
    if (piece->size() > limit - body.size()) {
      cancel();
      co_return fail(ErrorCode::kTooLarge,
                     fmt::format("The answer is larger than {} bytes.", limit));
    }
    body += *piece;
  }
}

std::unique_ptr<Client> make_client(async::Executor executor, ClientSettings settings) {
  return std::make_unique<PooledClient>(std::move(executor), std::move(settings));
}

}  // namespace perdure::http
