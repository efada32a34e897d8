// Whom the client trusts, and what it makes of TLS that stalls or breaks.
#include <gmock/gmock.h>

#include <stdexcept>
#include <string>

#include "http/client_test_support.h"

namespace perdure::http {
namespace {

using ::testing::HasSubstr;

class ClientTlsTest : public ClientTest {
 protected:
  TestAuthority authority_{"DNS:localhost,IP:127.0.0.1"};

  std::string by_name(const ScriptedServer& server) {
    return "https://localhost:" + std::to_string(server.port()) + "/";
  }
};

TEST_F(ClientTlsTest, TalksToATrustedServer) {
  use({.ca_file = authority_.ca_file()});
  ScriptedServer server({always(kOk)}, authority_.server_context());
  for (int i = 0; i < 3; ++i) {
    auto answer = post(by_name(server));
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_EQ(answer->body, "ok");
  }
  EXPECT_EQ(server.connections(), 1);
}

TEST_F(ClientTlsTest, VerifiesAddressesToo) {
  use({.ca_file = authority_.ca_file()});
  ScriptedServer server({always(kOk)}, authority_.server_context());
  EXPECT_EQ(get(server.url())->body, "ok");
}

TEST_F(ClientTlsTest, RefusesACertificateForAnotherHost) {
  TestAuthority other("DNS:other.example,DNS:*.localhost,IP:127.0.0.2");
  use({.ca_file = other.ca_file()});
  ScriptedServer server({always(kOk), always(kOk)}, other.server_context());
  for (const std::string& url : {by_name(server), server.url()}) {
    auto answer = get(url);
    EXPECT_EQ(code_of(answer), ErrorCode::kUpstream);
    EXPECT_THAT(error_of(answer).message, HasSubstr("mismatch"));
  }
}

TEST_F(ClientTlsTest, RefusesAnUntrustedAuthority) {
  TestAuthority other("DNS:localhost");
  for (std::string ca_file : {other.ca_file(), std::string()}) {
    use({.ca_file = ca_file});
    ScriptedServer server({always(kOk)}, authority_.server_context());
    auto answer = get(by_name(server));
    EXPECT_EQ(code_of(answer), ErrorCode::kUpstream);
    EXPECT_THAT(error_of(answer).message, HasSubstr("certificate"));
  }
}

TEST_F(ClientTlsTest, RefusesAPlainServer) {
  ScriptedServer server(
      {[](ScriptedPeer& peer) { peer.send("HTTP/1.1 400 Bad Request\r\n\r\n"); }});
  EXPECT_EQ(code_of(get("https://127.0.0.1:" + std::to_string(server.port()))),
            ErrorCode::kUpstream);
}

TEST_F(ClientTlsTest, AStalledHandshakeMeetsTheConnectDeadline) {
  ScriptedServer server(
      {[](ScriptedPeer& peer) { peer.wait_for_close(); }});  // reads, never answers
  ClientRequest stalled =
      request("https://127.0.0.1:" + std::to_string(server.port()) + "/", "GET");
  stalled.timeouts.connect_ms = 30;
  auto answer = wait_for(fetch(client_.get(), std::move(stalled)));
  EXPECT_EQ(code_of(answer), ErrorCode::kDeadlineExceeded);
  EXPECT_THAT(error_of(answer).message, HasSubstr("connecting took longer than 30 ms"));
  server.wait_until_closed(1);
}

TEST_F(ClientTlsTest, MovesLargeBodies) {
  use({.ca_file = authority_.ca_file()});
  std::string large(3 << 20, 'y');
  std::size_t seen = 0;
  ScriptedServer server({[&](ScriptedPeer& peer) {
                          seen = peer.read_request().size();
                          peer.send("HTTP/1.1 200 OK\r\n\r\n" + large);
                        }},
                        authority_.server_context());
  auto answer = post(by_name(server), large);
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_TRUE(answer->body == large);
  server.wait_until_closed(1);
  EXPECT_GT(seen, large.size());
}

TEST_F(ClientTlsTest, TakesOnlyTheProperEndOfTlsForTheEndOfABody) {
  use({.ca_file = authority_.ca_file()});
  ScriptedServer server({[](ScriptedPeer& peer) {
                           peer.read_request();
                           peer.send("HTTP/1.1 200 OK\r\n\r\nall of it");
                         },
                         [](ScriptedPeer& peer) {
                           peer.read_request();
                           peer.send("HTTP/1.1 200 OK\r\n\r\nhalf of");
                           peer.leave_without_tls_end();
                         }},
                        authority_.server_context());
  EXPECT_EQ(get(by_name(server))->body, "all of it");
  EXPECT_EQ(code_of(get(by_name(server))), ErrorCode::kUpstream);
}

TEST_F(ClientTlsTest, ABadTrustFileIsSaidAtOnce) {
  EXPECT_THROW(use({.ca_file = "/nonexistent/ca.pem"}), std::runtime_error);
}

}  // namespace
}  // namespace perdure::http
