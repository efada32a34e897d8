#include "world.h"

#include <algorithm>

namespace perdure::simulation {
namespace {

enum Stream : std::uint64_t {
  kSchedule = 1,
  kFaults,
  kDatabase,
  kOutside,
  kNode = 100,
  kClient = 10'000
};

}  // namespace

World::World(Plan plan)
    : plan_(plan),
      trace_(plan.aloud),
      schedule_(plan.seed, kSchedule),
      faults_(plan.seed, kFaults),
      work_(io_.get_executor()),
      database_machine_(Random(plan.seed, kDatabase)),
      database_(database_machine_),
      outside_{trace_, Random(plan.seed, kOutside), {}, {}} {
  set_now_ms(0);
  database_machine_.set_wrong_by(faults_.between(-3'600'000, 3'600'000));
  for (int i = 0; i < plan_.nodes; ++i) nodes_.push_back(make_node(static_cast<std::size_t>(i)));
  for (int i = 0; i < plan_.clients; ++i) {
    clients_.push_back(
        std::make_unique<Client>(i, Random(plan_.seed, kClient + static_cast<std::uint64_t>(i)),
                                 *this, trace_, io_.get_executor()));
    async::spawn(io_.get_executor(), "client", clients_.back()->live());
  }
}

World::~World() = default;

std::unique_ptr<Node> World::make_node(std::size_t index) {
  auto node = std::make_unique<Node>(fmt::format("node-{}", index),
                                     Random(plan_.seed, kNode + nodes_made_++), database_, outside_,
                                     io_.get_executor());
  node->machine().set_wrong_by(faults_.between(-60'000, 60'000));
  return node;
}

Node* World::any(Random& random) {
  if (nodes_.empty()) return nullptr;
  Node* node = random.pick(nodes_).get();
  return node->dead() ? nullptr : node;
}

bool World::run_until(const std::function<bool()>& condition, std::int64_t end) {
  std::vector<boost::asio::io_context*> loops;
  while (!condition()) {
    if (now_ms() >= end) return false;
    loops.assign(1, &io_);
    for (const auto& node : nodes_)
      if (node->runs()) loops.push_back(&node->io());
    const auto first =
        static_cast<std::size_t>(schedule_.between(0, static_cast<std::int64_t>(loops.size()) - 1));
    bool ran = false;
    for (std::size_t i = 0; i < loops.size() && !ran; ++i)
      ran = loops[(first + i) % loops.size()]->poll_one() > 0;
    // Not always in time: several timers may end at the same moment, and then in any order.
    if (!ran) set_now_ms(std::max(now_ms(), next_timer_ms()) + schedule_.between(0, 2));
  }
  return true;
}

async::Task<> World::bring_misfortune() {
  while (!mended_) {
    co_await async::sleep_for(faults_.between(50, 2'500));
    if (!mended_) misfortune();
  }
}

void World::misfortune() {
  ++misfortunes_;
  const auto index =
      static_cast<std::size_t>(faults_.between(0, static_cast<std::int64_t>(nodes_.size()) - 1));
  std::unique_ptr<Node>& node = nodes_[index];
  switch (faults_.between(0, 8)) {
    case 0:
    case 1:
      trace_.say("{} is {}", node->name(), node->dead() ? "started" : "killed");
      if (node->dead()) {
        dead_.push_back(std::exchange(node, nullptr));
        node = make_node(index);
      } else {
        node->die();
      }
      break;
    case 2:
    case 3:
      trace_.say("{} {}", node->name(), node->runs() ? "stands still" : "goes on");
      node->pause(node->runs());
      break;
    case 4:
    case 5:
      trace_.say("{} {} the database", node->name(),
                 node->network().is_cut() ? "reaches" : "is cut from");
      if (node->network().is_cut())
        node->network().mend();
      else
        node->network().cut();
      break;
    case 6:
      trace_.say("the database breaks all connections");
      for (const auto& each : nodes_) each->network().reset();
      break;
    case 7:
      trace_.say("the clock of {} is set", node->name());
      node->machine().set_wrong_by(faults_.between(-3'600'000, 3'600'000));
      break;
    case 8:
      trace_.say("the database is slow, or not any more, for {}", node->name());
      node->network().be_slow(faults_.chance(50));
      break;
  }
}

void World::mend() {
  trace_.say("all is mended");
  mended_ = true;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    if (nodes_[i]->dead()) {
      dead_.push_back(std::exchange(nodes_[i], nullptr));
      nodes_[i] = make_node(i);
    }
    nodes_[i]->pause(false);
    nodes_[i]->network().mend();
    nodes_[i]->network().be_slow(false);
  }
  for (const auto& client : clients_) client->finish();
}

bool World::settled() {
  for (const auto& client : clients_)
    if (!client->finished()) return false;
  for (const auto& [key, session] : database_.disk().sessions)
    if (session.row.open || !session.effects.empty()) return false;
  return true;
}

Outcome World::run() {
  const auto never = [] { return false; };
  async::spawn(io_.get_executor(), "misfortune", bring_misfortune());
  run_until(never, plan_.misfortunes_ms);
  mend();
  const bool rested = run_until([this] { return settled(); }, now_ms() + plan_.recovery_ms);
  if (!rested) {
    for (const auto& client : clients_)
      if (!client->finished()) trace_.wrong("a client gets no answer from mended nodes");
    for (const auto& [key, session] : database_.disk().sessions)
      if (session.row.open || !session.effects.empty())
        trace_.wrong("{} is still owed work: open {}, {} effects, {} entries", key.session.value,
                     session.row.open, session.effects.size(), session.entries.size());
  }
  if (rested) check();
  if (plan_.aloud && !trace_.wrongs().empty()) print_journals();

  Outcome outcome{.wrongs = trace_.wrongs(),
                  .digest = trace_.digest(),
                  .model_calls = outside_.model_calls,
                  .misfortunes = misfortunes_};
  for (const auto& client : clients_)
    for (const Client::Session& session : client->sessions())
      outcome.acknowledged += session.acknowledged.size();

  // Nothing may be left behind, not even by the dead.
  for (auto& node : nodes_) dead_.push_back(std::exchange(node, nullptr));
  nodes_.clear();
  for (const auto& node : dead_) node->unwind();
  for (int round = 0; round < 100'000 && async::running_tasks() > 0; ++round) {
    std::size_t ran = io_.poll();
    for (const auto& node : dead_) ran += node->io().poll();
    if (ran == 0) set_now_ms(now_ms() + 50);
  }
  if (async::running_tasks() > 0) outcome.wrongs.emplace_back("tasks were left behind");
  return outcome;
}

void World::print_journals() {
  for (const auto& [key, session] : database_.disk().sessions)
    for (const journal::Entry& entry : session.entries)
      fmt::print("{} {} at {} of epoch {}: {} {}\n", key.session.value, entry.seq, entry.time,
                 entry.epoch, entry.kind, entry.body);
}

void World::check() {
  std::size_t checked = 0;
  for (const auto& client : clients_)
    async::spawn(io_.get_executor(), "check",
                 [](Client* checks, std::size_t* done) -> async::Task<> {
                   co_await checks->check();
                   ++*done;
                 }(client.get(), &checked));
  if (!run_until([&] { return checked == clients_.size(); }, now_ms() + plan_.recovery_ms))
    trace_.wrong("what is there cannot be read");

  for (const auto& [due, key, id] : database_.disk().alarms)
    trace_.wrong("the alarm '{}' of {} is left", id, key.session.value);
  for (auto& [key, session] : database_.disk().sessions) {
    for (const journal::Reservation& reservation : database_.disk().spend.reservations(key))
      trace_.wrong("{} is still reserved for call {} of {}", reservation.amount, reservation.call,
                   key.session.value);
    std::uint64_t epoch = 0;
    for (std::size_t i = 0; i < session.entries.size(); ++i) {
      if (session.entries[i].seq != i + 1)
        trace_.wrong("entry {} of {} stands in place {}", session.entries[i].seq, key.session.value,
                     i + 1);
      if (session.entries[i].epoch < epoch)
        trace_.wrong("entry {} of {} is of an epoch that had ended", i + 1, key.session.value);
      epoch = session.entries[i].epoch;
    }
  }
}

}  // namespace perdure::simulation
