// perdure_bench COMMAND [--option value]…: see commands.h.
#include <cstdio>
#include <exception>
#include <string_view>

#include "bench/commands.h"

namespace {

using namespace perdure::bench;

struct Command {
  std::string_view name;
  void (*run)(const Arguments&);
};

constexpr Command kCommands[] = {
    {"stub-model", stub_model}, {"turns", turns},   {"direct", direct},
    {"reads", reads},           {"chunks", chunks}, {"await", await},
    {"commits", commits},       {"seed", seed},     {"memory", memory},
};

}  // namespace

int main(int count, char** words) {
  try {
    for (const Command& command : kCommands)
      if (count > 1 && command.name == words[1]) {
        command.run(Arguments(count - 2, words + 2));
        return 0;
      }
    std::fputs("usage: perdure_bench COMMAND [--option value]…; see bench/commands.h\n", stderr);
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "perdure_bench %s: %s\n", words[1], error.what());
    return 1;
  }
}
