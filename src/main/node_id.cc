#include "main/node_id.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "main/files.h"

namespace perdure::app {
namespace {

constexpr std::size_t kLength = 24;

}  // namespace

Result<std::unique_ptr<NodeId>> NodeId::take(const std::string& data_dir, Env& env) {
  TRY_VOID(make_private_directory(data_dir));
  const std::string path = data_dir + "/node";
  TRY(made, write_private_file(path, env.random_token(kLength) + "\n", IfPresent::kKeep));
  (void)made;
  const int lock = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (lock < 0 || ::flock(lock, LOCK_EX | LOCK_NB) != 0) {
    const int error = errno;
    if (lock >= 0) ::close(lock);
    if (error == EWOULDBLOCK)
      return fail(ErrorCode::kConflict,
                  fmt::format("The data directory {} is in use by another process: each node needs "
                              "one of its own (--data-dir).",
                              data_dir));
    return fail(ErrorCode::kPermissionDenied,
                fmt::format("Cannot lock {}: {}.", path, std::strerror(error)));
  }
  auto text = read_small_file(path, kLength + 1);
  if (!text || !*text || (*text)->size() != kLength + 1) {
    ::close(lock);
    return fail(ErrorCode::kInternal,
                fmt::format("{} is damaged; remove it and start the server again.", path));
  }
  return std::unique_ptr<NodeId>(new NodeId(lock, (*text)->substr(0, kLength)));
}

NodeId::~NodeId() {
  ::close(lock_);
}

}  // namespace perdure::app
