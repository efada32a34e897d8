#include "node.h"

namespace perdure::simulation {
namespace {

models::Catalog catalog_of(Outside& outside, const bool& dead) {
  std::vector<std::unique_ptr<models::Provider>> providers;
  providers.push_back(std::make_unique<Model>(outside, dead));
  // It has a price, so that every call puts money aside and settles.
  models::ModelEntry model{.name = "some-model",
                           .provider = std::string(providers.front()->name()),
                           .upstream = "some-model",
                           .price = models::Price{.input = 3'000'000, .output = 15'000'000},
                           .max_output_tokens = 1'000};
  return *models::Catalog::make(std::move(providers), {std::move(model)});
}

}  // namespace

Node::Node(std::string name, Random random, Outside& outside, const Open& open)
    : name_(std::move(name)),
      work_(io_.get_executor()),
      machine_(random),
      network_(Random(random.next(), 1)),
      catalog_(catalog_of(outside, dead_)) {
  std::optional<Storage> storage = open(*this);
  if (!storage) {
    dead_ = true;
    return;
  }
  storage_ = std::move(*storage);
  stops_ = std::make_unique<policy::Stops>(machine_, io_.get_executor(), *storage_.store);
  policy_ = std::make_unique<policy::StoppedPolicy>(*stops_, allow_all_);
  if (storage_.leases)
    membership_ = std::make_unique<cluster::Membership>(
        machine_, io_.get_executor(), *storage_.leases, static_cast<cluster::Worker&>(*this));
  tools_.add(std::make_unique<SlowTool>(outside, dead_, "opaque", tools::RepeatClass::kOpaque));
  tools_.add(std::make_unique<SlowTool>(outside, dead_, "keyed", tools::RepeatClass::kKeyed));
  engine::Settings settings;
  settings.passivate_after_ms = 2'000;
  engine_ = engine::make_engine({machine_, io_.get_executor(), *storage_.store, catalog_, *policy_,
                                 tools_, *stops_, nullptr, membership_.get()},
                                settings);
  async::spawn(io_.get_executor(), "live", live());
}

async::Task<> Node::live() {
  while (!co_await stops_->load())
    if (dead_) co_return;
  if (membership_)
    co_await membership_->run("http://" + name_, [] {});
  else
    co_await engine_->recover(journal::all_shards());
}

async::Task<> Node::take_up(journal::Shards shards) {
  co_await engine_->recover(shards);
}

async::Task<> Node::give_up(journal::Shards shards) {
  co_await engine_->give_up(shards);
}

async::Task<> Node::refresh(bool rows) {
  if (rows) {
    auto stops = co_await stops_->reload();
    if (stops) engine_->heed(std::move(*stops));
  }
  co_await engine_->refresh_budgets();
}

void Node::die() {
  dead_ = true;
  paused_ = false;
  for (const auto& wake : std::exchange(calls_, {})) wake();
}

void Node::unwind() {
  die();
  if (!engine_) return;
  storage_.end();
  async::spawn(io_.get_executor(), "end", end());
}

async::Task<> Node::end() {
  co_await engine_->drain();
  if (membership_) co_await membership_->leave();
}

}  // namespace perdure::simulation
