// A connection to an executor that carries whole messages, whatever is below it: a socket with
// lines (line_stream), later a WebSocket.
//
// Owned by an ExecutorClient and used on its loop. One read and one write may be under way at once.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "async/task.h"
#include "base/error.h"

namespace perdure::executor {

class MessageStream {
 public:
  virtual ~MessageStream() = default;
  /// The next message; nullopt at the end. kTooLarge where it is above the stream's limit.
  virtual async::Task<Result<std::optional<std::string>>> read() = 0;
  virtual async::Task<Result<void>> write(std::string message) = 0;
  /// Ends what is under way: reads get the end, writes an error.
  virtual void close() = 0;
};

/// Lines over a connected stream socket, which it takes over.
std::unique_ptr<MessageStream> line_stream(async::Executor executor, int socket,
                                           std::size_t max_message_bytes);

}  // namespace perdure::executor
