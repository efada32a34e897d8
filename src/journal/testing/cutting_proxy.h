// Stands between a client and PostgreSQL on a Unix socket and cuts a connection at the moment that
// hurts: around a commit. Bytes pass unchanged otherwise.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace perdure::journal::testing {

enum class Cut {
  kNone,
  kBefore,    ///< the server never sees it
  kAfter,     ///< the server does it; its answer is lost
  kHoldBack,  ///< the client is cut off; the server sees it when `release` is called
};

class CuttingProxy {
 public:
  /// `upstream`: the directory of the server's socket.
  explicit CuttingProxy(const std::string& upstream);
  ~CuttingProxy();
  CuttingProxy(const CuttingProxy&) = delete;
  CuttingProxy& operator=(const CuttingProxy&) = delete;

  /// The directory of our socket.
  const std::string& socket_directory() const { return directory_; }
  /// Cuts the next `times` pipelines in which `words` occur.
  void cut(Cut how, std::string words, int times = 1);
  int cuts_made() const { return cuts_made_; }
  /// Sends what was held back; what the server says to it.
  std::string release();

 private:
  void accept_all();
  void serve(int client);
  /// True: the connection is over.
  bool pass_on(int client, int server, std::string* pipeline);

  std::string upstream_, directory_;
  int listener_ = -1;
  std::atomic<bool> ending_ = false;
  std::mutex mutex_;  // of what follows
  Cut how_ = Cut::kNone;
  std::string words_;
  int times_ = 0;
  std::atomic<int> cuts_made_ = 0;
  int held_server_ = -1;
  std::string held_;
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

}  // namespace perdure::journal::testing
