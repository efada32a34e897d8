#include "executor/probes.h"

#include <gtest/gtest.h>

#include "executor/executor_test_support.h"

namespace perdure::executor {
namespace {

using testing::Loop;
using testing::Scratch;

async::Task<std::vector<ProbeResult>> probe(async::Executor executor, Env* env, std::string path) {
  return probe_host(std::move(executor), env, std::move(path));
}

TEST(ProbesTest, EveryProbeSaysSomethingAndLeavesNothing) {
  Loop loop;
  Scratch scratch;
  SystemEnv env;
  auto results = loop.run(probe(loop.executor(), &env, scratch.path()));
  ASSERT_EQ(results.size(), 10U);
  bool all = true;
  for (const ProbeResult& result : results) {
    EXPECT_FALSE(result.text.empty()) << result.name;
    RecordProperty(result.name, (result.works ? "works: " : "does not: ") + result.text);
    if (result.needed && result.name != "sandbox") all = all && result.works;
  }
  // The parts promise the whole, and are there where it is.
  EXPECT_EQ(results.back().works, all) << results.back().text;
  EXPECT_TRUE(std::filesystem::is_empty(scratch.path()));
}

}  // namespace
}  // namespace perdure::executor
