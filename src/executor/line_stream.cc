#include <boost/asio/as_tuple.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "executor/message_stream.h"

namespace perdure::executor {
namespace {

namespace asio = boost::asio;
constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);

class LineStream final : public MessageStream {
 public:
  LineStream(const async::Executor& executor, int socket, std::size_t max)
      : socket_(executor, asio::local::stream_protocol(), socket), max_(max) {}

  async::Task<Result<std::optional<std::string>>> read() override {
    while (true) {
      if (std::size_t end = buffer_.find('\n', scanned_); end != std::string::npos) {
        std::string line = buffer_.substr(begin_, end - begin_);
        begin_ = scanned_ = end + 1;
        if (begin_ == buffer_.size()) {
          buffer_.clear();
          begin_ = scanned_ = 0;
        }
        co_return line;
      }
      scanned_ = buffer_.size();
      if (scanned_ - begin_ > max_) co_return fail(ErrorCode::kTooLarge, "a message is too long");
      buffer_.erase(0, begin_);
      scanned_ -= begin_;
      begin_ = 0;
      constexpr std::size_t kRoom = 64 << 10;
      buffer_.resize(scanned_ + kRoom);
      auto [error, got] =
          co_await socket_.async_read_some(asio::buffer(buffer_.data() + scanned_, kRoom), kTuple);
      buffer_.resize(scanned_ + got);
      if (error) co_return std::nullopt;
    }
  }

  async::Task<Result<void>> write(std::string message) override {
    message += '\n';
    auto [error, sent] = co_await asio::async_write(socket_, asio::buffer(message), kTuple);
    if (error) co_return fail(ErrorCode::kUnavailable, "the executor's connection has ended");
    co_return Result<void>();
  }

  void close() override {
    boost::system::error_code ignored;
    socket_.close(ignored);
  }

 private:
  asio::local::stream_protocol::socket socket_;
  std::size_t max_;
  std::string buffer_;
  std::size_t begin_ = 0, scanned_ = 0;
};

}  // namespace

std::unique_ptr<MessageStream> line_stream(async::Executor executor, int socket,
                                           std::size_t max_message_bytes) {
  return std::make_unique<LineStream>(executor, socket, max_message_bytes);
}

}  // namespace perdure::executor
