#include "tools/mcp_servers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/mcp_test_support.h"

namespace perdure::tools {
namespace {

using testing::Answer;
using testing::result_text;
using Received = testing::FakeHttp::Received;

class McpServersTest : public ::testing::Test {
 protected:
  static McpSettings settings() {
    McpSettings settings;
    settings.allow = {"https://tools.example/team/", "https://other.example:8443/mcp"};
    settings.servers = {{"desk", "https://desk.example/mcp", "Bearer sesame"}};
    settings.is_own = [](const http::Url& url) { return url.host == "127.0.0.1" && url.port == 1; };
    return settings;
  }
  McpServers make(McpSettings with) { return McpServers(loop.get_executor(), http, with); }
  template <class T>
  T run(Task<T> task) {
    auto future = boost::asio::co_spawn(loop, std::move(task), boost::asio::use_future);
    loop.restart();
    loop.run();
    return future.get();
  }

  boost::asio::io_context loop;
  testing::FakeHttp http;
};

TEST_F(McpServersTest, AdmitsWhatTheOperatorAllows) {
  McpServers servers = make(settings());
  for (const char* url : {"https://tools.example/team/", "https://tools.example/team/a/mcp?x=1",
                          "https://TOOLS.example:443/team/a", "https://other.example:8443/mcp",
                          "https://other.example:8443/mcp/below", "https://desk.example/mcp"})
    EXPECT_TRUE(servers.admit(url)) << url;
  for (const char* url :
       {"https://tools.example/teammate", "https://tools.example/", "http://tools.example/team/",
        "https://tools.example:444/team/", "https://tools.example.evil.example/team/",
        "https://tools.example@evil.example/team/", "https://tools.example/team/../admin",
        "https://tools.example/team/%2e%2e/admin", "https://tools.example/team/..",
        "https://other.example:8443/mcp2", "https://desk.example/mcp/below",
        "https://desk.example/mcp?x=1", "file:///etc/passwd", "nonsense", "http://127.0.0.1:1/"})
    EXPECT_FALSE(servers.admit(url)) << url;
}

TEST_F(McpServersTest, ADeveloperMayUseAnyServerButThisOne) {
  McpSettings dev = settings();
  dev.any_url = true;
  McpServers servers = make(dev);
  EXPECT_TRUE(servers.admit("http://127.0.0.1:3001/mcp"));
  EXPECT_TRUE(servers.admit("https://anywhere.example/"));
  EXPECT_FALSE(servers.admit("http://127.0.0.1:1/mcp"));
  EXPECT_FALSE(servers.admit("ftp://anywhere.example/"));
}

TEST_F(McpServersTest, ACredentialGoesToItsOwnUrlOnly) {
  McpSettings dev = settings();
  dev.any_url = true;
  McpServers servers = make(dev);
  http.respond = [](const Received& request) -> Answer {
    return {.body = result_text(request, R"({"tools":[]})")};
  };
  auto authorization = [&](const char* label, const char* url) {
    EXPECT_TRUE(run(servers.list({{"p"}, {"s"}}, {label, url}, {})));
    return http.received.back().field("authorization");
  };
  EXPECT_EQ(authorization("mine", "https://desk.example/mcp"), "Bearer sesame");
  EXPECT_EQ(authorization("desk", "https://evil.example/mcp"), "-") << "a label proves nothing";
  EXPECT_EQ(authorization("desk", "http://desk.example/mcp"), "-");
  EXPECT_EQ(authorization("desk", "https://desk.example/mcp2"), "-");
}

TEST_F(McpServersTest, SessionsDoNotShareATalk) {
  McpSettings dev;
  dev.any_url = true;
  McpServers servers = make(dev);
  http.respond = [](const Received& request) -> Answer {
    return {.body = result_text(request, R"({"tools":[]})")};
  };
  for (const char* session : {"one", "two", "one"})
    ASSERT_TRUE(run(servers.list({{"p"}, {session}}, {"s", "https://x.example/"}, {})));
  EXPECT_EQ(std::ranges::count(http.methods(), "server/discover"), 2);
}

TEST_F(McpServersTest, WhatIsNoLongerAllowedIsNotAsked) {
  McpServers servers = make({});
  ToolResult result =
      run(servers.call({"s", "https://x.example/"}, "t", {{{"p"}, {"s"}}, "c", "{}", "k"}, {}));
  EXPECT_FALSE(result.success);
  EXPECT_FALSE(result.unknown);
  EXPECT_TRUE(http.received.empty());
}

}  // namespace
}  // namespace perdure::tools
