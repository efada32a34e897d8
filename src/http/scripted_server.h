// For tests of the client: a server on a loopback port whose every byte the test decides, and a
// throw-away certificate authority.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

struct ssl_st;
struct ssl_ctx_st;

namespace perdure::http {

/// A server certificate and key signed by an authority made for this object, whose certificate lies
/// in `ca_file()` while the object lives.
class TestAuthority {
 public:
  /// `names`: a subject alternative name such as "DNS:localhost,IP:127.0.0.1".
  explicit TestAuthority(const std::string& names);
  ~TestAuthority();
  TestAuthority(const TestAuthority&) = delete;
  TestAuthority& operator=(const TestAuthority&) = delete;

  const std::string& ca_file() const { return ca_file_; }
  ssl_ctx_st* server_context() const { return context_; }

 private:
  std::string ca_file_;
  ssl_ctx_st* context_;
};

/// The server's side of one connection; used by its script, on the connection's thread.
class ScriptedPeer {
 public:
  ScriptedPeer(int descriptor, ssl_ctx_st* tls);
  ~ScriptedPeer();
  ScriptedPeer(const ScriptedPeer&) = delete;
  ScriptedPeer& operator=(const ScriptedPeer&) = delete;

  /// One request, head and body, as it came; "" if the client has closed.
  std::string read_request();
  /// Up to and with the empty line.
  std::string read_head();
  void send(std::string_view bytes);
  /// True once the client has closed; what it still sends is dropped.
  bool wait_for_close();

  /// False if the TLS handshake failed.
  bool is_open() const { return open_; }
  /// Without telling the other side that TLS ends.
  void leave_without_tls_end() { quiet_ = true; }

 private:
  std::size_t read_some(char* data, std::size_t size);

  int descriptor_;
  ssl_st* tls_ = nullptr;
  bool open_ = true;
  bool quiet_ = false;
  std::string received_;
};

/// Runs the n-th script for the n-th connection, each on a thread of its own, and closes the
/// connection when it returns. Connections past the last script are closed at once.
class ScriptedServer {
 public:
  using Script = std::function<void(ScriptedPeer&)>;
  explicit ScriptedServer(std::vector<Script> scripts, ssl_ctx_st* tls = nullptr);
  ~ScriptedServer();
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;

  std::uint16_t port() const { return port_; }
  /// "http://127.0.0.1:PORT" and the path.
  std::string url(std::string_view path = "/") const;
  int connections() const;
  /// Waits until this many connections have been served and closed.
  void wait_until_closed(int count);

 private:
  void accept_all();

  std::vector<Script> scripts_;
  ssl_ctx_st* tls_;
  int listener_;
  std::uint16_t port_ = 0;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  int accepted_ = 0;
  int closed_ = 0;
  std::vector<int> open_;  // descriptors, to be shut down by the destructor
  std::vector<std::jthread> threads_;
  std::jthread acceptor_;
};

/// A script that answers each request on its connection with `answer`, until the client closes.
ScriptedServer::Script always(std::string answer);

}  // namespace perdure::http
