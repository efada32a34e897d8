// Which models there are, and which of them `default` is, for each way to find one.
#include "main/providers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>

#include "models/fake_upstream.h"

namespace perdure::app {
namespace {

using models::testing::FakeUpstream;
using models::testing::http_answer;
using ::testing::Contains;
using ::testing::Not;

class ProvidersTest : public testing::Test {
 protected:
  ProvidersTest() {
    // Ports on which nobody listens.
    FakeUpstream a(loop_.get_executor()), b(loop_.get_executor()), c(loop_.get_executor());
    detection_.ollama_port = a.port();
    detection_.llama_server_port = b.port();
    detection_.vllm_port = c.port();
  }

  Models make() {
    auto made = boost::asio::co_spawn(
        loop_, make_models(config_, environment_, client_.get(), &env_, detection_),
        boost::asio::use_future);
    auto ready = [&] {
      return made.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
    };
    while (!ready() && loop_.run_one_for(std::chrono::seconds(20)) > 0) continue;
    auto models = made.get();
    if (!models) throw std::runtime_error(models.error().message);
    return std::move(*models);
  }
  /// Whom a client's `default` goes to: "model at provider".
  static std::string meant(const Models& models) {
    const auto resolved = models.catalog.resolve("default");
    return resolved->upstream + " at " + std::string(resolved->provider->name());
  }
  static std::vector<std::string> listed(const Models& models) {
    std::vector<std::string> names;
    names.reserve(models.names.size());
    for (const ListedName& name : models.names) names.push_back(name.model);
    return names;
  }
  void serve_on_ollamas_port(std::string_view body) {
    ollama_ = std::make_unique<FakeUpstream>(loop_.get_executor());
    detection_.ollama_port = ollama_->port();
    ollama_->answer(http_answer(200, "application/json", body));
  }
  void add_provider(std::string name, std::string base_url = "http://127.0.0.1:1/v1") {
    config_.providers.push_back(
        {.name = std::move(name), .kind = "openai-chat", .base_url = std::move(base_url)});
  }

  boost::asio::io_context loop_;
  std::unique_ptr<http::Client> client_ = http::make_client(loop_.get_executor(), {});
  FakeEnv env_;
  Config config_;
  Environment environment_;
  models::DetectOptions detection_;
  std::unique_ptr<FakeUpstream> ollama_;
};

TEST_F(ProvidersTest, DefaultIsTheFirstModelThatIsFound) {
  serve_on_ollamas_port(R"({"object":"list","data":[{"id":"llama3"},{"id":"qwen"}]})");
  const Models models = make();
  EXPECT_EQ(meant(models), "llama3 at ollama");
  EXPECT_THAT(listed(models), testing::ElementsAre("llama3", "qwen", "default"));
  EXPECT_EQ(models.names.back().provider, "ollama");
  EXPECT_EQ(models.banner.model, "llama3");
  EXPECT_TRUE(models.banner.is_default);
  EXPECT_FALSE(models.catalog.resolve("default")->name_tools)
      << "how large a found model is cannot be known";
}

TEST_F(ProvidersTest, AModelThatOnlyMakesVectorsIsProposedLast) {
  serve_on_ollamas_port(R"({"object":"list","data":[{"id":"nomic-embed-text"},{"id":"llama3"}]})");
  EXPECT_EQ(meant(make()), "llama3 at ollama");
  serve_on_ollamas_port(R"({"object":"list","data":[{"id":"nomic-embed-text"}]})");
  EXPECT_EQ(meant(make()), "nomic-embed-text at ollama");
}

TEST_F(ProvidersTest, AServerWithoutModelsIsNone) {
  serve_on_ollamas_port(R"({"object":"list","data":[]})");
  const Models models = make();
  EXPECT_EQ(models.banner.kind, "scripted");
  EXPECT_EQ(meant(models), "scripted at scripted");
  EXPECT_THAT(listed(models), Contains("default"));
}

TEST_F(ProvidersTest, AtOpenAiDefaultIsASmallModelThatExists) {
  environment_["OPENAI_API_KEY"] = "sk-x";
  serve_on_ollamas_port(R"({"object":"list","data":[{"id":"llama3"}]})");
  EXPECT_EQ(meant(make()), std::string(kOpenAiModel) + " at openai");
  config_.default_model = "gpt-large";
  serve_on_ollamas_port(R"({"object":"list","data":[{"id":"llama3"}]})");
  EXPECT_EQ(meant(make()), "gpt-large at openai");
}

TEST_F(ProvidersTest, WhereNoModelIsKnownDefaultIsPromisedToNobody) {
  FakeUpstream nobody(loop_.get_executor());
  environment_["AWS_BEARER_TOKEN_BEDROCK"] = "x";
  environment_["AWS_REGION"] = "eu-north-1";
  Models models = make();
  EXPECT_THAT(listed(models), Not(Contains("default")));
  EXPECT_FALSE(models.banner.is_default || models.banner.has_default);
  config_.default_model = "amazon.nova-lite-v1:0";
  models = make();
  EXPECT_EQ(meant(models), "amazon.nova-lite-v1:0 at bedrock");
  EXPECT_TRUE(models.banner.is_default);
  config_.default_model.reset();
  serve_on_ollamas_port(R"({"object":"list","data":[{"id":"llama3"}]})");
  models = make();
  EXPECT_EQ(meant(models), "llama3 at ollama") << "one that is known";
  EXPECT_EQ(models.banner.provider, "ollama");
  EXPECT_EQ(models.banner.other_names, "bedrock");
  EXPECT_TRUE(models.banner.has_key) << "other names cost money";
}

TEST_F(ProvidersTest, DefaultHasAllThatIsSaidOfTheModelItMeans) {
  add_provider("one");
  add_provider("two");
  config_.pools.push_back({.name = "reserved", .provider = "one"});
  config_.models = {{.name = "elsewhere", .provider = "two", .upstream = "e"},
                    {.name = "big",
                     .upstream = "big-1",
                     .context_window = 100,
                     .name_tools = true,
                     .pools = {"reserved", "two"},
                     .price = models::Price{.input = 7, .output = 9},
                     .max_output_tokens = 50}};
  const Models models = make();
  const auto resolved = models.catalog.resolve("default");
  EXPECT_EQ(resolved->upstream, "big-1");
  ASSERT_EQ(resolved->pools.size(), 2u);
  EXPECT_EQ(resolved->pools.front().entry->name, "reserved");
  EXPECT_EQ(resolved->context_window, 100);
  EXPECT_EQ(resolved->max_output_tokens, 50);
  EXPECT_TRUE(resolved->name_tools);
  EXPECT_EQ(resolved->pools.front().price->output, 9);
  EXPECT_EQ(models.names.back().provider, "one");
}

TEST_F(ProvidersTest, AModelOfAnotherProviderIsBetterThanNone) {
  add_provider("one");
  add_provider("two");
  config_.models = {{.name = "m", .provider = "two", .upstream = "m"}};
  EXPECT_EQ(meant(make()), "m at two");
}

TEST_F(ProvidersTest, TheConfigurationsOwnDefaultIsLeftAlone) {
  add_provider("one");
  config_.models = {{.name = "m", .provider = "one", .upstream = "m"},
                    {.name = "default", .provider = "one", .upstream = "mine"}};
  config_.default_model = "m";
  const Models models = make();
  EXPECT_EQ(meant(models), "mine at one");
  EXPECT_THAT(listed(models), testing::ElementsAre("m", "default"));
  EXPECT_FALSE(models.banner.is_default);
  EXPECT_TRUE(models.banner.has_default);
}

}  // namespace
}  // namespace perdure::app
