// The program: hands the command line over and makes sure that nothing escapes.
#include <cstdio>
#include <exception>

#include "cli/cli.h"

int main(int argc, char** argv) {
  try {
    return perdure::cli::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "perdure: %s\n", error.what());
    return 1;
  }
}
