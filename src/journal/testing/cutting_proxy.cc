#include "journal/testing/cutting_proxy.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <stdexcept>

namespace perdure::journal::testing {
namespace {

constexpr std::string_view kSync("S\0\0\0\4", 5);   // the end of a pipeline
constexpr std::string_view kReady("Z\0\0\0\5", 5);  // the end of its answer

sockaddr_un address_in(const std::string& directory) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::string path = directory + "/.s.PGSQL.5432";
  if (path.size() >= sizeof address.sun_path) throw std::runtime_error("the path is too long");
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

int connected_to(const std::string& directory) {
  int socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address = address_in(directory);
  if (::connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return socket;
  ::close(socket);
  return -1;
}

bool send_all(int socket, std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

/// False at the end of the connection.
bool receive(int socket, std::string* bytes) {
  char buffer[16384];
  ssize_t received = ::recv(socket, buffer, sizeof buffer, 0);
  if (received <= 0) return false;
  bytes->append(buffer, static_cast<std::size_t>(received));
  return true;
}

std::string answer_of(int server) {
  std::string answer;
  while (answer.find(kReady) == std::string::npos && receive(server, &answer)) {
  }
  return answer;
}

}  // namespace

CuttingProxy::CuttingProxy(const std::string& upstream) : upstream_(upstream) {
  std::string pattern = std::filesystem::temp_directory_path() / "perdure-proxy-XXXXXX";
  directory_ = ::mkdtemp(pattern.data());
  listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address = address_in(directory_);
  if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener_, 16) != 0)
    throw std::runtime_error("the proxy cannot listen");
  acceptor_ = std::thread([this] { accept_all(); });
}

CuttingProxy::~CuttingProxy() {
  ending_ = true;
  ::shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  for (std::thread& thread : threads_) thread.join();
  if (held_server_ >= 0) ::close(held_server_);
  ::close(listener_);
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

void CuttingProxy::cut(Cut how, std::string words, int times) {
  std::lock_guard lock(mutex_);
  how_ = how;
  words_ = std::move(words);
  times_ = times;
}

std::string CuttingProxy::release() {
  std::lock_guard lock(mutex_);
  if (held_server_ < 0) return "nothing is held back";
  send_all(held_server_, held_);
  std::string answer = answer_of(held_server_);
  ::close(held_server_);
  held_server_ = -1;
  return answer;
}

void CuttingProxy::accept_all() {
  while (!ending_) {
    int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client >= 0) threads_.emplace_back([this, client] { serve(client); });
  }
}

void CuttingProxy::serve(int client) {
  int server = connected_to(upstream_);
  std::string pipeline;  // of the client, as far as it has come
  while (server >= 0 && !ending_) {
    pollfd both[] = {{client, POLLIN, 0}, {server, POLLIN, 0}};
    if (::poll(both, 2, 50) <= 0) continue;
    if (both[1].revents) {
      std::string answer;
      if (!receive(server, &answer) || !send_all(client, answer)) break;
    }
    if (!both[0].revents) continue;
    if (!receive(client, &pipeline)) break;
    bool is_pipeline = pipeline.front() == 'P';  // else the greeting, or the farewell
    if (is_pipeline && !pipeline.ends_with(kSync)) continue;
    if (pass_on(client, server, &pipeline)) {
      server = -1;
      break;
    }
    pipeline.clear();
  }
  ::close(client);
  if (server >= 0) ::close(server);
}

bool CuttingProxy::pass_on(int client, int server, std::string* pipeline) {
  std::unique_lock lock(mutex_);
  if (times_ == 0 || pipeline->find(words_) == std::string::npos) {
    lock.unlock();
    send_all(server, *pipeline);
    return false;
  }
  --times_;
  ++cuts_made_;
  if (how_ == Cut::kHoldBack) {
    held_ = std::move(*pipeline);
    held_server_ = server;
    return true;
  }
  if (how_ == Cut::kAfter) {
    send_all(server, *pipeline);
    answer_of(server);
  }
  ::shutdown(client, SHUT_RDWR);
  ::close(server);
  return true;
}

}  // namespace perdure::journal::testing
