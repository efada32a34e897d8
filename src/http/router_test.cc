#include "http/router.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

namespace perdure::http {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Route route(std::string method, std::string path) {
  Route out;
  out.method = std::move(method);
  out.path = std::move(path);
  return out;
}

class RouterTest : public ::testing::Test {
 protected:
  RouterTest() {
    for (const char* path :
         {"/", "/v1/agents", "/v1/agents/{id}", "/v1/agents/sessions", "/v1/agents/sessions/{id}",
          "/v1/agents/sessions/{id}/items/{item}", "/a/lit/c", "/a/{x}/b"})
      router_.add(route("GET", path));
    router_.add(route("DELETE", "/v1/agents/{id}"));
    router_.add(route("POST", "/v1/agents/{id}"));
  }

  std::string path_of(std::string_view method, std::string_view path) {
    Router::Match match = router_.match(method, path);
    return match.route ? match.route->path : "";
  }

  Router router_;
};

TEST_F(RouterTest, GivesTheDecodedParametersInOrder) {
  Router::Match match = router_.match("GET", "/v1/agents/sessions/sess%5F1/items/a%20b");
  ASSERT_TRUE(match.route);
  EXPECT_THAT(match.parameters, ElementsAre("sess_1", "a b"));
}

TEST_F(RouterTest, AnEncodedSlashStaysInsideItsSegment) {
  Router::Match match = router_.match("GET", "/v1/agents/arn%3Aaws%3Ax%2Fy");
  ASSERT_TRUE(match.route);
  EXPECT_THAT(match.parameters, ElementsAre("arn:aws:x/y"));
}

TEST_F(RouterTest, ALiteralWinsOverAParameter) {
  EXPECT_EQ(path_of("GET", "/v1/agents/sessions"), "/v1/agents/sessions");
  EXPECT_EQ(path_of("GET", "/v1/agents/session"), "/v1/agents/{id}");
  EXPECT_EQ(path_of("GET", "/v1/agents/%73essions"), "/v1/agents/sessions");
}

TEST_F(RouterTest, ALiteralThatLeadsNowhereDoesNotHideAParameter) {
  EXPECT_EQ(path_of("GET", "/a/lit/b"), "/a/{x}/b");
  EXPECT_EQ(path_of("GET", "/a/lit/c"), "/a/lit/c");
}

TEST_F(RouterTest, ThePathIsDecidedBeforeTheMethod) {
  Router::Match match = router_.match("DELETE", "/v1/agents/sessions");
  EXPECT_FALSE(match.route) << "a resource called 'sessions' must not be deletable by its name";
  EXPECT_THAT(match.allowed, ElementsAre("GET"));
}

TEST_F(RouterTest, AnotherMethodTellsTheAllowedOnes) {
  EXPECT_THAT(router_.match("PUT", "/v1/agents/a").allowed, ElementsAre("DELETE", "GET", "POST"));
  EXPECT_THAT(router_.match("HEAD", "/v1/agents").allowed, ElementsAre("GET"));
}

TEST_F(RouterTest, UnknownPathsMatchNothing) {
  for (const char* path : {"/v1", "/v1/agents/", "/v1//agents", "//", "", "*", "/v1/agents/a/b",
                           "/v1/agents/sessions/"}) {
    Router::Match match = router_.match("GET", path);
    EXPECT_FALSE(match.route) << path;
    EXPECT_THAT(match.allowed, IsEmpty()) << path;
    EXPECT_FALSE(match.malformed) << path;
    EXPECT_THAT(match.parameters, IsEmpty()) << path;
  }
}

TEST_F(RouterTest, ABadEscapeIsToldApart) {
  for (const char* path : {"/v1/agents/%", "/v1/agents/%4", "/v1/agents/%zz", "/v1/agents/%00",
                           "/v1/agents/%ff", "/v1/agents/a%0d%0ab"})
    EXPECT_TRUE(router_.match("GET", path).malformed) << path;
  EXPECT_FALSE(router_.match("GET", "/v1/agents/%C3%BC").malformed);
}

TEST_F(RouterTest, RefusesTwoRoutesForOnePlace) {
  EXPECT_THROW(router_.add(route("GET", "/v1/agents/{other_name}")), std::logic_error);
  EXPECT_THROW(router_.add(route("GET", "v1")), std::logic_error);
}

}  // namespace
}  // namespace perdure::http
