#include "cli/api_client.h"

#include <fmt/format.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <cctype>
#include <utility>

#include "cli/exit_code.h"
#include "http/client.h"
#include "main/runtime_file.h"

namespace perdure::cli {
namespace {

constexpr std::size_t kMaxAnswer = 64 << 20;
constexpr http::ClientTimeouts kTimeouts{
    .connect_ms = 5'000, .headers_ms = 30'000, .idle_ms = 30'000};

struct Answer {
  int status = 0;
  std::string body;
};

async::Task<Result<Answer>> exchange(http::Client* client, http::ClientRequest request) {
  CO_TRY(response, co_await client->send(std::move(request)));
  CO_TRY(body, co_await response->read_all(kMaxAnswer));
  co_return Answer{response->status(), std::move(body)};
}

using OnEvent = std::function<void(std::string_view data)>;

/// The data of whole lines goes to `on_event`; the body of an error is the answer's.
async::Task<Result<Answer>> exchange_events(http::Client* client, http::ClientRequest request,
                                            OnEvent on_event) {
  CO_TRY(response, co_await client->send(std::move(request)));
  if (response->status() != 200) {
    CO_TRY(body, co_await response->read_all(kMaxAnswer));
    co_return Answer{response->status(), std::move(body)};
  }
  std::string rest;
  while (true) {
    CO_TRY(piece, co_await response->read());
    if (!piece) co_return Answer{200, {}};
    rest += *piece;
    for (std::size_t end = rest.find('\n'); end != std::string::npos; end = rest.find('\n')) {
      constexpr std::string_view kData = "data: ";
      const std::string_view line = std::string_view(rest).substr(0, end);
      if (line.starts_with(kData)) on_event(line.substr(kData.size()));
      rest.erase(0, end + 1);
    }
  }
}

/// `make` begins the exchange.
template <class Make>
Result<Answer> run_exchange(Make make) {
  boost::asio::io_context loop;
  const auto client = http::make_client(loop.get_executor(), {});
  std::optional<Result<Answer>> result;
  boost::asio::co_spawn(loop, make(client.get()),
                        [&](std::exception_ptr error, Result<Answer> answer) {
                          if (!error) result = std::move(answer);
                        });
  while (!result && loop.run_one() != 0) continue;
  if (!result) return fail(ErrorCode::kInternal, "The request ended without an answer.");
  return std::move(*result);
}

Result<Answer> exchange_now(http::ClientRequest request) {
  return run_exchange([&](http::Client* client) { return exchange(client, std::move(request)); });
}

/// The sentence inside an error's body, in any door's shape.
std::string message_of(const Answer& answer) {
  const auto body = parse_json(answer.body);
  if (body && body->is_object()) {
    const auto message = get_string(get_object(body->get_object(), "error"), "message");
    if (!message.empty()) return std::string(message);
  }
  return fmt::format("The server answered with status {}.", answer.status);
}

int exit_code_of(int status) {
  if (status == 401 || status == 403) return kDenied;
  if (status == 404) return kNotFound;
  return kFailed;
}

std::optional<std::string> variable(const app::Environment& environment, std::string_view name) {
  const auto found = environment.find(name);
  if (found == environment.end() || found->second.empty()) return std::nullopt;
  return found->second;
}

}  // namespace

Outcome<ApiClient> ApiClient::connect(const ServerFlags& flags,
                                      const app::Environment& environment) {
  ApiClient client;
  const auto token = flags.token ? flags.token : variable(environment, "PERDURE_TOKEN");
  if (flags.url) {
    if (!token)
      return std::unexpected(
          Failure{kUsage, "--url needs a token: give --token, or set the variable PERDURE_TOKEN."});
    client.url_ = *flags.url;
    while (client.url_.ends_with('/')) client.url_.pop_back();
    client.token_ = *token;
    return client;
  }
  const auto data_dir = app::data_directory(flags.data_dir, flags.config, environment);
  if (!data_dir) return std::unexpected(Failure{kUsage, data_dir.error().message});
  const auto info = app::read_runtime_file(*data_dir);
  if (!info) return std::unexpected(Failure{kFailed, info.error().message});
  if (!*info)
    return std::unexpected(Failure{
        kUnreachable,
        fmt::format("No server runs on {}. Start one with 'perdure dev' or 'perdure serve', name "
                    "its data directory with --data-dir, or give --url and --token.",
                    *data_dir)});
  client.url_ = (*info)->url;
  client.token_ = token.value_or((*info)->token);
  return client;
}

Outcome<json::value> ApiClient::call(std::string method, std::string path, std::string body,
                                     Headers headers) const {
  http::ClientRequest request{.method = std::move(method),
                              .url = url_ + path,
                              .body = std::move(body),
                              .timeouts = kTimeouts};
  request.headers.add("Authorization", "Bearer " + token_);
  request.headers.add("Accept", "application/json");
  if (!request.body.empty()) request.headers.add("Content-Type", "application/json");
  for (auto& [name, value] : headers) request.headers.add(std::move(name), std::move(value));
  const auto answer = exchange_now(std::move(request));
  if (!answer)
    return std::unexpected(
        Failure{answer.error().code == ErrorCode::kInvalidArgument ? kUsage : kUnreachable,
                fmt::format("No answer from the server at {}: {}", url_, answer.error().message)});
  if (answer->status < 200 || answer->status > 299)
    return std::unexpected(Failure{exit_code_of(answer->status), message_of(*answer)});
  auto value = parse_json(answer->body.empty() ? "{}" : answer->body);
  if (!value)
    return std::unexpected(
        Failure{kFailed, fmt::format("{} does not answer like a Perdure server.", url_)});
  return std::move(*value);
}

Outcome<void> ApiClient::follow(std::string path, OnEvent on_event) const {
  http::ClientRequest request{.method = "GET", .url = url_ + path, .timeouts = kTimeouts};
  request.headers.add("Authorization", "Bearer " + token_);
  request.headers.add("Accept", "text/event-stream");
  const auto answer = run_exchange([&](http::Client* client) {
    return exchange_events(client, std::move(request), std::move(on_event));
  });
  if (!answer)
    return std::unexpected(Failure{
        kUnreachable, fmt::format("The server at {} is gone: {}", url_, answer.error().message)});
  if (answer->status != 200)
    return std::unexpected(Failure{exit_code_of(answer->status), message_of(*answer)});
  return {};
}

std::string percent_encoded(std::string_view segment) {
  std::string result;
  for (const unsigned char c : segment) {
    if (std::isalnum(c) || c == '-' || c == '_' || c == '.' || c == '~')
      result += static_cast<char>(c);
    else
      result += fmt::format("%{:02X}", c);
  }
  return result;
}

}  // namespace perdure::cli
