// Runs simulations, one for each seed:
//
//   simulation [--embedded] [--seeds N] [--first SEED] [--aloud] [--twice]
//
// A seed that breaks a rule is printed with what it broke; `--first SEED --seeds 1 --aloud` shows
// all that happened in it. `--embedded`: one server over SQLite on a disk that fails, instead of
// many nodes over a modelled database. `--twice` runs each seed again and demands the same history.
// Status 1: a rule was broken.
#include <CLI/CLI.hpp>

#include "base/log.h"
#include "world.h"

int main(int argc, char** argv) {
  using namespace perdure;
  using simulation::Plan;
  std::uint64_t seeds = 20, first = 1;
  bool embedded = false, aloud = false, twice = false, logs = false;
  CLI::App cli("Simulates nodes, clients and misfortunes over one modelled database or disk.");
  cli.add_flag("--embedded", embedded, "one server over a disk of its own");
  cli.add_option("--seeds", seeds, "how many");
  cli.add_option("--first", first, "the first one");
  cli.add_flag("--aloud", aloud, "print what happens");
  cli.add_flag("--logs", logs, "and what the nodes log");
  cli.add_flag("--twice", twice, "demand that a second run of each seed is the same");
  CLI11_PARSE(cli, argc, argv);
  if (!logs) log::configure(log::Level::kOff, log::Format::kText);

  std::uint64_t failed = 0, acknowledged = 0, calls = 0, misfortunes = 0;
  for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
    const Plan plan{.seed = seed,
                    .aloud = aloud,
                    .embedded = embedded,
                    .nodes = 2 + static_cast<int>(seed % 4 == 0)};
    simulation::Outcome outcome = simulation::World(plan).run();
    if (twice && simulation::World(plan).run().digest != outcome.digest)
      outcome.wrongs.emplace_back("a second run was another one");
    acknowledged += outcome.acknowledged;
    calls += static_cast<std::uint64_t>(outcome.model_calls);
    misfortunes += static_cast<std::uint64_t>(outcome.misfortunes);
    if (outcome.wrongs.empty()) continue;
    ++failed;
    for (const std::string& wrong : outcome.wrongs) fmt::print("FAIL   seed {}: {}\n", seed, wrong);
    std::fflush(stdout);
  }
  fmt::print("{} seeds, {} failed: {} misfortunes, {} inputs acknowledged, {} model calls\n", seeds,
             failed, misfortunes, acknowledged, calls);
  return failed == 0 ? 0 : 1;
}
