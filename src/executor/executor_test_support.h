// For tests of executors: a loop that runs one task, a runner without a sandbox, a driver with a
// directory of its own.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <exception>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "executor/client.h"
#include "executor/native/driver.h"
#include "executor/native/launch.h"
#include "executor/native/runner_image.h"
#include "executor/native/spawn.h"

namespace perdure::executor::testing {

class Loop {
 public:
  async::Executor executor() { return io_.get_executor(); }

  /// Runs the loop until the task has ended. What else is on it goes on with the next call.
  template <class T>
  T run(async::Task<T> task) {
    std::optional<T> value;
    std::exception_ptr error;
    boost::asio::co_spawn(io_, std::move(task), [&](std::exception_ptr e, T v) {
      error = e;
      if (!e) value.emplace(std::move(v));
      io_.stop();
    });
    io_.restart();
    io_.run();
    if (error) std::rethrow_exception(error);
    return std::move(*value);
  }
  /// Until nothing is left to do.
  void drain() {
    io_.restart();
    io_.run();
  }

 private:
  boost::asio::io_context io_;
};

/// A directory that goes with its owner.
class Scratch {
 public:
  Scratch() {
    std::string pattern = std::filesystem::temp_directory_path() / "perdure-executor-XXXXXX";
    if (!::mkdtemp(pattern.data())) std::abort();
    path_ = pattern;
  }
  ~Scratch() { std::filesystem::remove_all(path_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  const std::string& path() const { return path_; }
  std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }

 private:
  std::string path_;
};

/// The runner as it is, on this machine, with a directory for its root.
class BareRunner {
 public:
  explicit BareRunner(Loop& loop) : loop_(loop) {
    auto image = native::runner_image();
    int ends[2];
    if (!image || ::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) std::abort();
    control_.reset(ends[0]);
    runner::Descriptor theirs(ends[1]);
    auto spawned = native::spawn_runner(image->get(), {"serve", home_.path()}, -1, theirs.get());
    if (!spawned) std::abort();
    handle_ = std::move(spawned->handle);
  }
  ~BareRunner() {
    control_.reset();
    loop_.run(native::wait_for_end(loop_.executor(), std::move(handle_)));
  }
  const std::string& home() const { return home_.path(); }
  ExecutorClient::Dial dial() {
    return [this] { return connect(); };
  }
  async::Task<Result<std::unique_ptr<MessageStream>>> connect() {
    CO_TRY(socket, native::connect_through(control_.get()));
    ++connections;
    last_socket = socket.get();
    co_return line_stream(loop_.executor(), socket.release(), kMaxMessageBytes);
  }
  int connections = 0;
  int last_socket = -1;

 private:
  Loop& loop_;
  Scratch home_;
  runner::Descriptor control_, handle_;
};

inline Command shell(std::string id, std::string script, std::string cwd) {
  return {.process_id = std::move(id),
          .argv = {"/bin/sh", "-c", std::move(script)},
          .cwd = std::move(cwd),
          .env = {{"PATH", "/usr/bin:/bin"}}};
}

}  // namespace perdure::executor::testing
