// One node: a whole engine over a store, on a loop of its own; over the modelled database with its
// membership among other nodes, over a disk of its own without.
//
// It dies by never being run again; what it has in memory is unwound at the end of the simulation,
// when nothing it does has an effect.
#pragma once

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <list>
#include <memory>
#include <optional>

#include "async/blocking_pool.h"
#include "cluster/membership.h"
#include "engine/engine.h"
#include "journal/leases.h"
#include "models/catalog.h"
#include "network.h"
#include "outside.h"
#include "policy/policy.h"
#include "policy/stops.h"
#include "tools/registry.h"

namespace perdure::simulation {

/// A machine: its clock may be wrong, and be set.
class Machine final : public Env {
 public:
  explicit Machine(Random random) : random_(random) {}
  UnixMillis now() override { return 1'800'000'000'000 + now_ms() + skew_; }
  std::int64_t monotonic_ms() override { return 1'000'000 + now_ms(); }
  void random_bytes(std::span<std::uint8_t> out) override {
    for (std::uint8_t& byte : out) byte = static_cast<std::uint8_t>(random_.next());
  }
  void set_wrong_by(std::int64_t milliseconds) { skew_ = milliseconds; }

 private:
  Random random_;
  std::int64_t skew_ = 0;
};

/// Where a store does what it would do in threads of its own.
struct WriterLoop {
  boost::asio::io_context io;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work{io.get_executor()};
  async::BlockingPool pool{async::Executor(io.get_executor())};
};

/// What a node keeps its sessions in.
struct Storage {
  std::shared_ptr<WriterLoop> writer;  ///< or nullptr
  std::unique_ptr<journal::JournalStore> store;
  journal::LeaseStore* leases = nullptr;  ///< its own, of a node among others
  std::function<void()> end = [] {};      ///< the node is gone
};

class Node final : private cluster::Worker {
 public:
  /// nullopt: it cannot be opened now, and the node is dead.
  using Open = std::function<std::optional<Storage>(Node& node)>;
  Node(std::string name, Random random, Outside& outside, const Open& open);

  /// What somebody outside wants of this node; nullopt: it died before it answered.
  template <class T>
  async::Task<std::optional<T>> ask(async::Executor from,
                                    std::function<async::Task<T>(engine::Engine&)> work) {
    auto call = std::make_shared<Call<T>>(from);
    if (dead_) co_return std::nullopt;
    calls_.push_back([call] { call->done.notify(); });
    boost::asio::co_spawn(io_, answer(call, this, std::move(work)), boost::asio::detached);
    co_await call->done.wait();
    co_return std::move(call->value);
  }

  void die();
  /// At the end of the simulation.
  void unwind();
  bool dead() const { return dead_; }
  /// It stands still while the world goes on, and notices nothing.
  void pause(bool paused) { paused_ = paused; }
  bool runs() const { return !dead_ && !paused_; }

  const std::string& name() const { return name_; }
  boost::asio::io_context& io() { return io_; }
  /// The loop of its store's writer, or nullptr.
  boost::asio::io_context* writer() { return storage_.writer ? &storage_.writer->io : nullptr; }
  Network& network() { return network_; }
  Machine& machine() { return machine_; }

 private:
  template <class T>
  struct Call {
    explicit Call(const async::Executor& from) : done(from) {}
    async::Signal done;
    std::optional<T> value;
  };
  template <class T>
  static async::Task<> answer(std::shared_ptr<Call<T>> call, Node* node,
                              std::function<async::Task<T>(engine::Engine&)> work) {
    T value = co_await work(*node->engine_);
    if (node->dead_) co_return;
    call->value.emplace(std::move(value));
    call->done.notify();
  }
  async::Task<> live();
  async::Task<> take_up(journal::Shards shards) override;
  async::Task<> give_up(journal::Shards shards) override;
  journal::Shards busy() const override { return engine_->busy(); }
  async::Task<> refresh(bool rows) override;
  async::Task<> end();

  std::string name_;
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  Machine machine_;
  Network network_;
  Storage storage_;
  models::Catalog catalog_;
  tools::Registry tools_;
  policy::AllowAll allow_all_;
  std::unique_ptr<policy::Stops> stops_;
  std::unique_ptr<policy::StoppedPolicy> policy_;
  std::unique_ptr<cluster::Membership> membership_;
  std::unique_ptr<engine::Engine> engine_;
  std::list<std::function<void()>> calls_;  // wake whoever waits for an answer
  bool dead_ = false;
  bool paused_ = false;
};

}  // namespace perdure::simulation
