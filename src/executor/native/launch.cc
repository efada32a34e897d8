#include "executor/native/launch.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>

#include "async/within.h"
#include "executor/limits.h"

namespace perdure::executor::native {
namespace {

namespace asio = boost::asio;
using runner::Descriptor;
constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);

/// The channel of one launch.
class Channel {
 public:
  Channel(const async::Executor& executor, int socket)
      : socket_(executor, asio::local::stream_protocol(), socket) {}

  async::Task<bool> write(std::string text) {
    auto [error, sent] = co_await asio::async_write(socket_, asio::buffer(text), kTuple);
    co_return !error;
  }
  /// The next report; empty at the end.
  async::Task<std::string> read() {
    auto [error, got] = co_await asio::async_read_until(
        socket_, asio::dynamic_buffer(buffer_, 64 << 10), '\n', kTuple);
    if (error) co_return "";
    std::string line = buffer_.substr(0, got - 1);
    buffer_.erase(0, got);
    co_return line;
  }

 private:
  asio::local::stream_protocol::socket socket_;
  std::string buffer_;
};

bool make_pair(int kind, Descriptor& ours, Descriptor& theirs) {
  int ends[2];
  if (::socketpair(AF_UNIX, kind | SOCK_CLOEXEC, 0, ends) != 0) return false;
  ours.reset(ends[0]);
  theirs.reset(ends[1]);
  return true;
}

async::Task<> collect(async::Executor executor, Descriptor handle) {
  co_await wait_for_end(executor, std::move(handle));
}

/// A child of ours that is to end with whoever gave up on it.
class Child {
 public:
  Child(async::Executor executor, Spawned spawned)
      : executor_(std::move(executor)), spawned_(std::move(spawned)) {}
  ~Child() {
    if (!spawned_.handle) return;
    ::syscall(SYS_pidfd_send_signal, spawned_.handle.get(), SIGKILL, nullptr, 0);
    async::spawn(executor_, "collect a sandbox's process",
                 collect(executor_, std::move(spawned_.handle)));
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  Spawned release() { return std::move(spawned_); }

 private:
  async::Executor executor_;
  Spawned spawned_;
};

std::unexpected<Error> refused(std::string_view report) {
  constexpr std::string_view kWord = "error ";
  if (report.starts_with(kWord)) report.remove_prefix(kWord.size());
  return fail(ErrorCode::kUnavailable,
              report.empty() ? "a sandbox cannot be made: its launcher ended without a word"
                             : fmt::format("a sandbox cannot be made: {}", report),
              {}, "sandbox_refused");
}

async::Task<Result<Launched>> bring_up(async::Executor executor, int image, runner::Plan plan,
                                       std::function<Result<void>(pid_t)> prepare) {
  Descriptor channel_end, their_channel, control, their_control;
  if (!make_pair(SOCK_STREAM, channel_end, their_channel) ||
      !make_pair(SOCK_SEQPACKET, control, their_control))
    co_return fail(ErrorCode::kUnavailable, fmt::format("no sockets: {}", std::strerror(errno)));
  CO_TRY(spawned, spawn_runner(image, {"launch"}, their_channel.get(), their_control.get()));
  Child launcher(executor, std::move(spawned));
  their_channel.reset();
  their_control.reset();
  Channel channel(executor, channel_end.release());
  std::string text = runner::encode_plan(plan), framed;
  runner::append_length(framed, text.size());
  framed += text;
  if (!co_await channel.write(std::move(framed))) co_return refused("");

  std::string report = co_await channel.read();
  constexpr std::string_view kPid = "pid ";
  Spawned init;
  if (report.starts_with(kPid))
    std::from_chars(report.data() + kPid.size(), report.data() + report.size(), init.process);
  if (init.process <= 0) co_return refused(report);
  // Our own child, not yet waited for: the number is its own.
  init.handle.reset(static_cast<int>(::syscall(SYS_pidfd_open, init.process, 0)));
  if (!init.handle) co_return refused(fmt::format("pidfd_open: {}", std::strerror(errno)));
  Child held(executor, std::move(init));
  pid_t process = 0;
  std::from_chars(report.data() + kPid.size(), report.data() + report.size(), process);
  CO_TRY_VOID(prepare(process));
  if (!co_await channel.write("g")) co_return refused("");
  report = co_await channel.read();
  if (report != "ready") co_return refused(report);
  co_return Launched{held.release(), std::move(control)};
}

}  // namespace

async::Task<Result<Launched>> launch_sandbox(async::Executor executor, int image, runner::Plan plan,
                                             std::function<Result<void>(pid_t)> prepare) {
  auto launched = co_await async::within(
      kProvisionMs, bring_up(executor, image, std::move(plan), std::move(prepare)));
  if (!launched) co_return fail(ErrorCode::kDeadlineExceeded, "a sandbox did not come up in time");
  co_return std::move(*launched);
}

Result<Descriptor> connect_through(int control) {
  Descriptor ours, theirs;
  auto failed = [](int error) {
    return fail(ErrorCode::kUnavailable,
                fmt::format("the sandbox takes no connection: {}", std::strerror(error)));
  };
  if (!make_pair(SOCK_STREAM, ours, theirs)) return failed(errno);
  char byte = 'c';
  iovec content{&byte, 1};
  alignas(cmsghdr) char room[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &content;
  message.msg_iovlen = 1;
  message.msg_control = room;
  message.msg_controllen = sizeof room;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  int number = theirs.get();
  std::memcpy(CMSG_DATA(header), &number, sizeof number);
  if (::sendmsg(control, &message, MSG_NOSIGNAL | MSG_DONTWAIT) != 1) return failed(errno);
  return ours;
}

}  // namespace perdure::executor::native
