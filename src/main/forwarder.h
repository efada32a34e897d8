// Sends requests about a session to the node that works on it.
//
// Any request may come to any node. One whose route says what it is about (http::Route::about) and
// that another node works on goes there, over HTTP, in the name of its caller (node_requests.h);
// the answer, or the stream, comes back through here. While a session moves its requests wait, a
// few seconds at most. Only what certainly was not received is sent to another node again; where it
// may have been, and a repetition could do it twice, the client is told so.
//
// Owned by the composition root, used on one loop.
#pragma once

#include "cluster/membership.h"
#include "http/client.h"
#include "http/message.h"
#include "http/router.h"
#include "main/guard.h"
#include "main/node_requests.h"

namespace perdure::app {

class Forwarder {
 public:
  Forwarder(Env& env, async::Executor executor, cluster::Membership& membership,
            http::Client& client, NodeRequests& requests, ErrorShape error_shape)
      : env_(env),
        executor_(std::move(executor)),
        membership_(membership),
        client_(client),
        requests_(requests),
        error_shape_(std::move(error_shape)) {}

  /// The route with a handler that runs where the session is. Comes after Guard::protect.
  http::Route spread(http::Route route);

  std::uint64_t forwarded() const { return forwarded_; }

 private:
  using Handler = http::Handler;
  async::Task<http::Response> run(Handler handler, const http::Route* about, http::Request request);
  /// nullopt: it is not there, or that node could not be reached; it has done nothing.
  async::Task<std::optional<http::Response>> forward(journal::Node node, SessionKey key,
                                                     const http::Request* request);

  Env& env_;
  async::Executor executor_;
  cluster::Membership& membership_;
  http::Client& client_;
  NodeRequests& requests_;
  ErrorShape error_shape_;
  std::uint64_t forwarded_ = 0;
};

}  // namespace perdure::app
