// A provider's server for tests: takes requests on loopback, answers the bytes it is told to.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "async/task.h"

namespace perdure::models::testing {

class FakeUpstream {
 public:
  struct Received {
    std::string head;  ///< request line and header fields, lower case
    std::string body;
  };
  /// Listens on a free port; runs on `executor` until destroyed.
  explicit FakeUpstream(async::Executor executor);
  ~FakeUpstream();

  std::uint16_t port() const;
  std::string base_url() const;

  /// The next request without an answer of its own is answered with these bytes; then the
  /// connection is closed, or with `hold` kept open until the other side closes it.
  void answer(std::string bytes, bool hold = false);
  const std::vector<Received>& received() const;
  /// How many connections the other side has closed while they were held.
  int closed_by_peer() const;
  /// Suspends until that has happened (again).
  async::Task<> wait_for_close();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

/// An HTTP answer with a length.
std::string http_answer(int status, std::string_view content_type, std::string_view body,
                        std::string_view more_fields = "");
/// The head and the events of a stream whose end is the connection's.
std::string sse_answer(std::string_view events);

}  // namespace perdure::models::testing
