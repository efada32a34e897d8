#include "facades/agents_api/errors.h"

#include <gtest/gtest.h>

#include "base/json.h"

namespace perdure::facades::agents_api {
namespace {

json::object body_of(const http::Response& response) {
  return parse_json(response.body)->as_object().at("error").as_object();
}

TEST(Errors, TheBodyHasTheFourMembersClientsRead) {
  auto response = error_response({ErrorCode::kInvalidArgument, "Wrong \"x\".", "agent.tools[0]"});
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(response.body,
            R"({"error":{"type":"invalid_request_error","code":"invalid_request_error",)"
            R"("message":"Wrong \"x\".","param":"agent.tools[0]"}})");
}

TEST(Errors, WithoutAParameterTheMemberIsNull) {
  auto body = body_of(error_response({ErrorCode::kNotFound, "No."}));
  EXPECT_TRUE(body.at("param").is_null());
  EXPECT_EQ(body.at("type"), "not_found_error");
  EXPECT_EQ(body.at("code"), "not_found_error");
}

TEST(Errors, EveryConflictTellsTheClientNotToRepeatIt) {
  auto response = error_response({ErrorCode::kConflict, "No."});
  EXPECT_EQ(response.status, 409);
  EXPECT_EQ(response.headers.get("x-should-retry"), "false");
  EXPECT_EQ(body_of(response).at("code"), "conflict_error");
}

TEST(Errors, WhatPassesSaysWhenToComeBack) {
  for (ErrorCode code : {ErrorCode::kRateLimited, ErrorCode::kUnavailable, ErrorCode::kFenced}) {
    auto response = error_response({code, "Later."});
    EXPECT_EQ(response.status, code == ErrorCode::kRateLimited ? 429 : 503);
    EXPECT_TRUE(response.headers.get("retry-after"));
    EXPECT_FALSE(response.headers.get("x-should-retry"));
  }
}

TEST(Errors, ATurnThatTakesNoMoreMessagesHasACodeOfItsOwn) {
  auto response =
      error_response({ErrorCode::kRateLimited, "Later.", "", "active_turn_not_steerable"});
  EXPECT_EQ(response.status, 429);
  EXPECT_EQ(body_of(response).at("code"), "active_turn_not_steerable");
  EXPECT_EQ(body_of(response).at("type"), "rate_limit_error");
  EXPECT_TRUE(response.headers.get("retry-after"));
}

TEST(Errors, WhatIsNotOfferedIsTheCallersToChange) {
  auto response = error_response({ErrorCode::kUnimplemented, "X is not supported yet.", "x"});
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(body_of(response).at("param"), "x");
}

TEST(Errors, OnlyReasonsOfTheWireAreShown) {
  EXPECT_EQ(
      body_of(error_response({ErrorCode::kInvalidArgument, "m", "", "invalid_beta"})).at("code"),
      "invalid_beta");
  EXPECT_EQ(
      body_of(error_response({ErrorCode::kInvalidArgument, "m", "", "unknown_call"})).at("code"),
      "invalid_request_error");
}

TEST(Errors, WhatWentWrongInsideIsNotShown) {
  auto response = error_response({ErrorCode::kInternal, "secret detail", "secret"});
  EXPECT_EQ(response.status, 500);
  EXPECT_EQ(response.body.find("secret"), std::string::npos);
}

}  // namespace
}  // namespace perdure::facades::agents_api
