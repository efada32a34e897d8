// How a command talks to a server: over HTTP, like anybody else.
//
// The server is the one that --url names, or else the one whose runtime file is in the data
// directory. Each call blocks until its answer is there. Errors are sentences ready to be printed,
// each with the exit status that goes with it.
#pragma once

#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "main/config.h"

namespace perdure::cli {

/// Where the flags say that the server is.
struct ServerFlags {
  std::optional<std::string> url;
  std::optional<std::string> token;
  std::optional<std::string> data_dir;
  std::optional<std::string> config;
};

struct Failure {
  int exit_code = 1;
  std::string message;
};

template <class T>
using Outcome = std::expected<T, Failure>;

class ApiClient {
 public:
  static Outcome<ApiClient> connect(const ServerFlags& flags, const app::Environment& environment);

  using Headers = std::vector<std::pair<std::string, std::string>>;

  /// The JSON of a 2xx answer. `body` is sent if it is not empty.
  Outcome<json::value> call(std::string method, std::string path, std::string body = {},
                            Headers headers = {}) const;

  /// Reads a stream of server-sent events to its end: `on_event` gets each event's data, as it
  /// arrives.
  Outcome<void> follow(std::string path, std::function<void(std::string_view data)> on_event) const;

  const std::string& url() const { return url_; }

 private:
  std::string url_;
  std::string token_;
};

/// Text for one segment of a path.
std::string percent_encoded(std::string_view segment);

}  // namespace perdure::cli
