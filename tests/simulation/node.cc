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

Node::Node(std::string name, Random random, Database& database, Outside& outside,
           async::Executor world)
    : name_(std::move(name)),
      work_(io_.get_executor()),
      machine_(random),
      network_(Random(random.next(), 1)),
      store_(name_, machine_, database, network_, io_.get_executor(), std::move(world)),
      catalog_(catalog_of(outside, dead_)),
      stops_(machine_, io_.get_executor(), store_),
      policy_(stops_, allow_all_),
      membership_(machine_, io_.get_executor(), store_, *this) {
  tools_.add(std::make_unique<SlowTool>(outside, dead_, "opaque", tools::RepeatClass::kOpaque));
  tools_.add(std::make_unique<SlowTool>(outside, dead_, "keyed", tools::RepeatClass::kKeyed));
  engine::Settings settings;
  settings.passivate_after_ms = 2'000;
  engine_ = engine::make_engine({machine_, io_.get_executor(), store_, catalog_, policy_, tools_,
                                 stops_, nullptr, &membership_},
                                settings);
  async::spawn(io_.get_executor(), "live", live());
}

async::Task<> Node::live() {
  while (!co_await stops_.load())
    if (dead_) co_return;
  co_await membership_.run("http://" + name_, [] {});
}

async::Task<> Node::take_up(journal::Shards shards) {
  co_await engine_->recover(shards);
}

async::Task<> Node::give_up(journal::Shards shards) {
  co_await engine_->give_up(shards);
}

async::Task<> Node::refresh(bool rows) {
  if (rows) {
    auto stops = co_await stops_.reload();
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
  store_.end();
  async::spawn(io_.get_executor(), "end", end());
}

async::Task<> Node::end() {
  co_await engine_->drain();
  co_await membership_.leave();
}

}  // namespace perdure::simulation
