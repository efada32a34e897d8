// A client: has sessions of its own, sends, answers, cancels, streams, and asks again where it got
// no answer, at whatever node it meets.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "node.h"

namespace perdure::simulation {

/// What a load balancer knows.
class Nodes {
 public:
  virtual ~Nodes() = default;
  /// One that is not known to be dead.
  virtual Node* any(Random& random) = 0;
};

class Client {
 public:
  Client(int number, Random random, Nodes& nodes, Trace& trace, async::Executor executor);

  async::Task<> live();
  /// It begins nothing new.
  void finish() { finishing_ = true; }
  bool finished() const { return finished_; }

  struct Session {
    SessionKey key;
    std::uint64_t acknowledged_head = 0;
    std::vector<std::string> acknowledged;  ///< texts, in order
    std::vector<std::string> unanswered;    ///< texts that may have been taken
    std::vector<std::string> seen;          ///< durable events of its stream
    bool deleted = false;                   ///< asked for
  };
  const std::vector<Session>& sessions() const { return sessions_; }
  /// When all has come to rest: what is read against what was acknowledged. `may_be_aside`:
  /// processes ended so often that a session may have been put aside as failed, with what it had
  /// not looked at.
  async::Task<> check(bool may_be_aside);

 private:
  template <class T>
  using Work = std::function<async::Task<T>(engine::Engine&)>;

  async::Task<> create();
  async::Task<> send(std::size_t index);
  async::Task<bool> look(std::size_t index);
  async::Task<> cancel(std::size_t index);
  async::Task<> follow(std::size_t index, int batches, int tries);
  /// Sends the inputs until they are taken or refused for good; true: taken.
  async::Task<bool> submit(std::size_t index, std::vector<engine::Input> inputs, std::string key);
  /// Asks nodes until one answers for the session.
  template <class T>
  async::Task<std::optional<Result<T>>> ask(Work<Result<T>> work, int tries);
  engine::Idempotency remember(const std::string& key) const;

  int number_;
  Random random_;
  Nodes& nodes_;
  Trace& trace_;
  async::Executor executor_;
  std::vector<Session> sessions_;
  int texts_ = 0;
  bool finishing_ = false;
  bool finished_ = false;
};

}  // namespace perdure::simulation
