// The writing half of a connection: the output queue, streams, the goodbye.
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <exception>

#include "base/log.h"
#include "http/connection.h"
#include "http/limits.h"

namespace perdure::http {
namespace asio = boost::asio;
namespace {

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t kPiecesPerWrite = 64;

}  // namespace

void Connection::queue(std::string piece) {
  if (!lost_) output_.push(std::move(piece));
}

void Connection::write_ready() {
  while (!output_.empty() && !lost_) {
    iovec pieces[kPiecesPerWrite];
    msghdr message{};
    message.msg_iov = pieces;
    message.msg_iovlen = output_.gather(pieces, kPiecesPerWrite);
    ssize_t count = ::sendmsg(socket_.native_handle(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (count < 0) {
      lost_ = true;
      break;
    }
    last_write_ = Clock::now();
    output_.consume(static_cast<std::size_t>(count));
  }
  if (lost_) output_.clear();
}

void Connection::write_soon() {
  // Runs when the coroutine is waiting for something, or has added more answers to the queue.
  if (write_scheduled_) return;
  write_scheduled_ = true;
  asio::post(context_->executor, [self = shared_from_this()] {
    self->write_scheduled_ = false;
    self->write_ready();
    if (self->output_.empty() || self->lost_) return;
    self->write_scheduled_ = true;
    self->socket_.async_wait(asio::ip::tcp::socket::wait_write,
                             [self](boost::system::error_code ec) {
                               self->write_scheduled_ = false;
                               if (!ec) self->write_soon();
                             });
  });
}

Task<bool> Connection::flush() {
  write_ready();
  if (output_.empty()) co_return !lost_;
  const Phase phase = phase_;
  const Clock::time_point deadline = deadline_;
  set_phase(Phase::kWriting, context_->settings.write_timeout_ms);
  while (!output_.empty() && !lost_) {
    std::size_t before = output_.bytes();
    auto [ec] = co_await socket_.async_wait(asio::ip::tcp::socket::wait_write, kAwait);
    if (ec) lost_ = true;
    write_ready();
    if (output_.bytes() < before) set_phase(Phase::kWriting, context_->settings.write_timeout_ms);
  }
  phase_ = phase;
  deadline_ = deadline;
  co_return !lost_;
}

// --- Streams ---------------------------------------------------------------------------------

Task<bool> Connection::send_stream(std::unique_ptr<ByteStream> stream, std::string heartbeat,
                                   bool chunked) {
  set_phase(Phase::kStreaming, -1);
  stream_ = stream.get();
  heartbeat_ = &heartbeat;
  last_write_ = Clock::now();
  watch_for_leaving();
  std::exception_ptr failure;
  bool ended = false;
  std::size_t this_turn = 0;
  while (!ended && !lost_) {
    if (!stream->ready() || output_.bytes() >= kMaxCoalesced) {
      if (!co_await flush()) break;
      if (context_->draining && !stream->ready()) break;
    }
    if (this_turn >= kReadPerTurn) {
      this_turn = 0;
      co_await async::yield();
    }
    std::optional<std::string> piece;
    pulling_ = true;
    try {
      piece = co_await stream->next();
    } catch (...) {
      failure = std::current_exception();
    }
    pulling_ = false;
    if (failure) break;
    if (lost_) break;
    if (!piece) {
      ended = true;
    } else if (!piece->empty()) {
      this_turn += piece->size();
      queue_stream_piece(std::move(*piece), chunked);
    } else if (heartbeat_due_) {
      queue_stream_piece(heartbeat, chunked);
    }
    heartbeat_due_ = false;
  }
  stream_ = nullptr;
  heartbeat_ = nullptr;
  stream.reset();
  if (failure) {
    log_stream_failure(failure);
    lost_ = true;  // a missing last chunk is how the client learns that the body is not whole
  }
  if (lost_) co_return false;
  if (chunked) queue("0\r\n\r\n");
  co_return true;
}

void Connection::log_stream_failure(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const std::exception& e) {
    log::error("a stream ended with an exception", {{"what", e.what()}});
  } catch (...) {
    log::error("a stream ended with an unknown exception");
  }
}

void Connection::queue_stream_piece(std::string piece, bool chunked) {
  if (piece.empty()) return;
  if (!chunked) return queue(std::move(piece));
  char size[20];
  int length = std::snprintf(size, sizeof size, "%zx\r\n", piece.size());
  queue(std::string(size, static_cast<std::size_t>(length)));
  piece += "\r\n";
  queue(std::move(piece));
}

void Connection::watch_for_leaving() {
  if (watching_) return;
  watching_ = true;
  socket_.async_wait(asio::ip::tcp::socket::wait_read,
                     [self = shared_from_this()](boost::system::error_code ec) {
                       self->watching_ = false;
                       if (!ec && self->stream_ && !self->lost_) self->look_for_leaving();
                     });
}

void Connection::look_for_leaving() {
  if (read_some() == Read::kEnd) {
    lost_ = true;
    boost::system::error_code ignored;
    socket_.cancel(ignored);  // a write may be waiting for room
    stream_->wake();
  } else if (input_.size() < kMaxReadAheadOfStream) {
    watch_for_leaving();  // what arrived is the next request; it waits its turn
  }
}

Task<> Connection::linger() {
  if (lost_ || !co_await flush()) co_return;
  boost::system::error_code ignored;
  socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  if (!unread_input_ && input_.empty()) co_return;
  // Closing with unread bytes sends a reset, which can overtake the answer at the client.
  set_phase(Phase::kLingering, context_->settings.linger_ms);
  input_.release();
  std::size_t read_bytes = 0;
  while (read_bytes < kMaxLingerBytes) {
    Read read = read_some();
    if (read == Read::kEnd) co_return;
    read_bytes += input_.size();
    input_.consume(input_.size());
    if (read == Read::kWouldBlock && !co_await wait_readable()) co_return;
  }
}

}  // namespace perdure::http
