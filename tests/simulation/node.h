// One node: a whole engine with its membership over the modelled database, on a loop of its own.
//
// It dies by never being run again; what it has in memory is unwound at the end of the simulation,
// when nothing it does has an effect.
#pragma once

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <list>
#include <memory>
#include <optional>

#include "cluster/membership.h"
#include "engine/engine.h"
#include "models/catalog.h"
#include "network.h"
#include "node_store.h"
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

class Node final : private cluster::Worker {
 public:
  Node(std::string name, Random random, Database& database, Outside& outside,
       async::Executor world);

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
  Network& network() { return network_; }
  Machine& machine() { return machine_; }
  const cluster::Membership& membership() const { return membership_; }

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
  NodeStore store_;
  models::Catalog catalog_;
  tools::Registry tools_;
  policy::AllowAll allow_all_;
  policy::Stops stops_;
  policy::StoppedPolicy policy_;
  cluster::Membership membership_;
  std::unique_ptr<engine::Engine> engine_;
  std::list<std::function<void()>> calls_;  // wake whoever waits for an answer
  bool dead_ = false;
  bool paused_ = false;
};

}  // namespace perdure::simulation
