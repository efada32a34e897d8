#include "models/detect.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <map>

#include "models/fake_upstream.h"

namespace perdure::models {
namespace {

using ::testing::ElementsAre;
using testing::FakeUpstream;
using ::testing::HasSubstr;
using testing::http_answer;
using ::testing::IsEmpty;

constexpr std::string_view kList =
    R"({"object":"list","data":[{"id":"llama3","object":"model"},{"id":"qwen","object":"model"}]})";

class Detect : public ::testing::Test {
 protected:
  Detect() {
    // Ports on which nobody listens.
    FakeUpstream a(context.get_executor()), b(context.get_executor()), c(context.get_executor());
    options.ollama_port = a.port();
    options.llama_server_port = b.port();
    options.vllm_port = c.port();
  }

  Detected detect() {
    EnvironmentLookup lookup = [this](std::string_view name) -> std::optional<std::string> {
      auto found = environment.find(name);
      if (found == environment.end()) return std::nullopt;
      return found->second;
    };
    auto detected = boost::asio::co_spawn(context, detect_providers(lookup, client.get(), options),
                                          boost::asio::use_future);
    auto ready = [&] {
      return detected.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
    };
    while (!ready() && context.run_one_for(std::chrono::seconds(20)) > 0) {
    }
    return detected.get();
  }

  boost::asio::io_context context;
  std::unique_ptr<http::Client> client = http::make_client(context.get_executor(), {});
  DetectOptions options;
  std::map<std::string, std::string, std::less<>> environment;
};

TEST_F(Detect, FindsNothingWhereNothingIs) {
  Detected detected = detect();
  EXPECT_THAT(detected.found, IsEmpty());
  EXPECT_THAT(detected.notes, IsEmpty());
}

TEST_F(Detect, FindsTheKeyFirstAndSaysThatItSpendsMoney) {
  FakeUpstream ollama(context.get_executor());
  options.ollama_port = ollama.port();
  ollama.answer(http_answer(200, "application/json", kList));
  environment["OPENAI_API_KEY"] = "sk-very-secret";
  Detected detected = detect();
  ASSERT_EQ(detected.found.size(), 2u);
  EXPECT_EQ(detected.found[0].name, "openai");
  EXPECT_EQ(detected.found[0].kind, "openai-responses");
  EXPECT_EQ(detected.found[0].base_url, "https://api.openai.com/v1");
  EXPECT_EQ(detected.found[0].api_key_env, "OPENAI_API_KEY");
  EXPECT_THAT(detected.found[0].note, HasSubstr("paid"));
  EXPECT_EQ(detected.found[1].name, "ollama");
  for (const FoundProvider& found : detected.found)
    EXPECT_EQ((found.note + found.base_url).find("very-secret"), std::string::npos);
}

TEST_F(Detect, TakesAnotherBaseUrlAsAChatServerWithoutAskingIt) {
  FakeUpstream local(context.get_executor());
  environment["OPENAI_BASE_URL"] = local.base_url();
  Detected detected = detect();
  ASSERT_EQ(detected.found.size(), 1u);
  EXPECT_EQ(detected.found[0].kind, "openai-chat");
  EXPECT_EQ(detected.found[0].base_url, local.base_url());
  EXPECT_EQ(detected.found[0].api_key_env, "");
  EXPECT_THAT(local.received(), IsEmpty());
}

TEST_F(Detect, FindsBedrockByItsKeyAndRegion) {
  FakeUpstream local(context.get_executor());
  environment["AWS_BEARER_TOKEN_BEDROCK"] = "ABSKvery-secret";
  environment["AWS_DEFAULT_REGION"] = "eu-north-1";
  Detected detected = detect();
  ASSERT_EQ(detected.found.size(), 1u);
  EXPECT_EQ(detected.found[0].name, "bedrock");
  EXPECT_EQ(detected.found[0].kind, "bedrock-converse");
  EXPECT_EQ(detected.found[0].base_url, "https://bedrock-runtime.eu-north-1.amazonaws.com");
  EXPECT_EQ(detected.found[0].api_key_env, "AWS_BEARER_TOKEN_BEDROCK");
  EXPECT_THAT(detected.found[0].note, HasSubstr("paid"));
  EXPECT_EQ(detected.found[0].note.find("very-secret"), std::string::npos);

  environment["AWS_REGION"] = "us-west-2";
  EXPECT_EQ(detect().found.at(0).base_url, "https://bedrock-runtime.us-west-2.amazonaws.com");
  environment["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"] = local.base_url();
  EXPECT_EQ(detect().found.at(0).base_url, local.base_url());
  EXPECT_THAT(local.received(), IsEmpty());

  // OpenAI's key is the default where both are there; a server on loopback comes after them.
  environment["OPENAI_API_KEY"] = "sk-x";
  FakeUpstream ollama(context.get_executor());
  options.ollama_port = ollama.port();
  ollama.answer(http_answer(200, "application/json", kList));
  detected = detect();
  ASSERT_EQ(detected.found.size(), 3u);
  EXPECT_EQ(detected.found[0].name, "openai");
  EXPECT_EQ(detected.found[1].name, "bedrock");
  EXPECT_EQ(detected.found[2].name, "ollama");
}

TEST_F(Detect, SaysWhyBedrockIsNotUsed) {
  FakeUpstream nobody(context.get_executor());  // keeps the loop from running out of work
  environment["AWS_REGION"] = "us-east-1";
  EXPECT_THAT(detect().notes, IsEmpty()) << "a region without a key is nobody's wish";
  environment["AWS_BEARER_TOKEN_BEDROCK"] = "ABSKvery-secret";
  auto note = [this] {
    Detected detected = detect();
    EXPECT_THAT(detected.found, IsEmpty());
    EXPECT_EQ(detected.notes.size(), 1u);
    return detected.notes.empty() ? std::string() : detected.notes[0];
  };
  environment["AWS_REGION"] = "";
  EXPECT_THAT(note(), HasSubstr("AWS_REGION does not say where"));
  environment["AWS_REGION"] = "evil.example/";
  EXPECT_THAT(note(), HasSubstr("not the name of a region"));
  environment["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"] = "ftp://x";
  EXPECT_THAT(note(), HasSubstr("AWS_ENDPOINT_URL_BEDROCK_RUNTIME is not used"));
  options.own_port = 8787;
  environment["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"] = "http://127.0.0.1:8787";
  EXPECT_THAT(note(), HasSubstr("own address"));
}

TEST_F(Detect, NeverTakesItselfForAProvider) {
  FakeUpstream self(context.get_executor());
  self.answer(http_answer(200, "application/json", kList));
  options.own_port = options.vllm_port = self.port();
  for (std::string host : {"127.0.0.1", "localhost", "[::1]"}) {
    environment["OPENAI_BASE_URL"] = "http://" + host + ":" + std::to_string(self.port()) + "/v1";
    environment["OPENAI_API_KEY"] = "x";
    Detected detected = detect();
    EXPECT_THAT(detected.found, IsEmpty());
    ASSERT_EQ(detected.notes.size(), 1u);
    EXPECT_THAT(detected.notes[0], HasSubstr("own address"));
  }
  EXPECT_THAT(self.received(), IsEmpty());
}

TEST_F(Detect, FindsEachLocalServerWithItsModels) {
  FakeUpstream ollama(context.get_executor()), llama(context.get_executor()),
      vllm(context.get_executor());
  options.ollama_port = ollama.port();
  options.llama_server_port = llama.port();
  options.vllm_port = vllm.port();
  for (FakeUpstream* server : {&ollama, &llama, &vllm})
    server->answer(http_answer(200, "application/json", kList));
  Detected detected = detect();
  ASSERT_EQ(detected.found.size(), 3u);
  EXPECT_EQ(detected.found[0].name, "ollama");
  EXPECT_EQ(detected.found[1].name, "llama-server");
  EXPECT_EQ(detected.found[2].name, "vllm");
  EXPECT_EQ(detected.found[0].kind, "openai-chat");
  EXPECT_EQ(detected.found[0].base_url, ollama.base_url());
  EXPECT_THAT(detected.found[0].models, ElementsAre("llama3", "qwen"));
  EXPECT_THAT(ollama.received().at(0).head, HasSubstr("get /v1/models "));
  EXPECT_THAT(ollama.received().at(0).head, HasSubstr("x-perdure-hop: 1"));
}

TEST_F(Detect, PassesByWhatOnlyListensOnThePort) {
  for (std::string answer :
       {http_answer(200, "text/html", "<html>Jenkins</html>"), http_answer(404, "text/plain", "no"),
        http_answer(200, "application/json", R"({"data":[]})"),
        http_answer(200, "application/json", R"({"object":"list","data":[{"name":"x"}]})"),
        http_answer(200, "application/json", R"([{"id":"x"}])"),
        http_answer(508, "application/json", kList), std::string("not http at all\r\n\r\n")}) {
    FakeUpstream other(context.get_executor());
    options.llama_server_port = other.port();
    other.answer(answer);
    EXPECT_THAT(detect().found, IsEmpty()) << answer;
  }
}

TEST_F(Detect, WaitsOnlyShortlyForAServerThatSaysNothing) {
  FakeUpstream silent(context.get_executor());
  options.llama_server_port = silent.port();
  silent.answer("", /*hold=*/true);
  EXPECT_THAT(detect().found, IsEmpty());
}

TEST_F(Detect, SaysWhatItSawAndDoesNotUse) {
  FakeUpstream ollama(context.get_executor());
  options.ollama_port = ollama.port();
  ollama.answer(http_answer(200, "application/json", R"({"object":"list","data":[]})"));
  FakeUpstream llama(context.get_executor());
  options.llama_server_port = llama.port();
  llama.answer(http_answer(
      503, "application/json",
      R"({"error":{"message":"Loading model","type":"unavailable_error","code":503}})"));
  environment["AWS_BEARER_TOKEN_BEDROCK"] = "t";
  environment["OPENAI_BASE_URL"] = "ftp://x";
  Detected detected = detect();
  EXPECT_THAT(detected.found, IsEmpty());
  EXPECT_THAT(detected.notes,
              ElementsAre(HasSubstr("OPENAI_BASE_URL"), HasSubstr("AWS_BEARER_TOKEN_BEDROCK"),
                          HasSubstr("no model yet"), HasSubstr("loading its model")));
}

}  // namespace
}  // namespace perdure::models
