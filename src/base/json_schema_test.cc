// What a schema demands of a text, and that nobody's schema or text can hurt.
#include "base/json_schema.h"

#include <gmock/gmock.h>

namespace perdure {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> complaints(std::string_view schema, std::string_view text) {
  return schema_complaints(schema, text, "answer");
}

bool satisfies(std::string_view schema, std::string_view text) {
  return complaints(schema, text).empty();
}

TEST(JsonSchema, WhatIsWrongIsSaidWithItsPlace) {
  constexpr std::string_view kSchema =
      R"({"type":"object","additionalProperties":false,"required":["name","tags"],"properties":{)"
      R"("name":{"type":"string"},"tags":{"type":"array","items":{"type":"string"}},)"
      R"("age":{"type":["integer","null"],"minimum":0}}})";
  EXPECT_THAT(complaints(kSchema, R"({"name":"a","tags":["x"],"age":null})"), IsEmpty());
  EXPECT_THAT(
      complaints(kSchema, R"({"name":1,"tags":["x",2],"age":-1,"more":0})"),
      ElementsAre("answer.name must be of type string, and is an integer",
                  "answer.tags[1] must be of type string, and is an integer",
                  "answer.age must be at least 0", R"(answer must not have the member "more")"));
  EXPECT_THAT(complaints(kSchema, "{}"), ElementsAre(R"(answer lacks the member "name")",
                                                     R"(answer lacks the member "tags")"));
  EXPECT_THAT(complaints(kSchema, "[]"),
              ElementsAre("answer must be of type object, and is an array"));
  EXPECT_THAT(complaints(R"({"properties":{"a b":{"type":"null"}}})", R"({"a b":1})"),
              ElementsAre(R"(answer["a b"] must be of type null, and is an integer)"));
}

TEST(JsonSchema, WhatIsNoJsonSatisfiesNothing) {
  for (std::string_view text :
       {"", "hello", "{\"a\":1} and more", "```json\n{}\n```", "{\"a\":1,\"a\":2}", "{\"a\":"}) {
    auto wrong = complaints("{}", text);
    ASSERT_EQ(wrong.size(), 1u) << text;
    EXPECT_THAT(wrong[0], HasSubstr("answer must be JSON and nothing else")) << text;
  }
  EXPECT_TRUE(satisfies("nonsense", "{}"));
}

TEST(JsonSchema, EveryKeywordIsHeeded) {
  struct Case {
    std::string_view schema, right, wrong;
  };
  for (const Case& each : {
           Case{R"({"type":"integer"})", "3", "3.5"},
           Case{R"({"type":"integer"})", "3.0", "\"3\""},
           Case{R"({"type":"number"})", "3.5", "true"},
           Case{R"({"type":"boolean"})", "false", "0"},
           Case{R"({"enum":["a",1,null]})", "1.0", "2"},
           Case{R"({"const":{"a":[1]}})", R"({"a":[1]})", R"({"a":[2]})"},
           Case{R"({"minProperties":1})", R"({"a":1})", "{}"},
           Case{R"({"maxProperties":1})", "{}", R"({"a":1,"b":2})"},
           Case{R"({"additionalProperties":{"type":"string"}})", R"({"a":"b"})", R"({"a":1})"},
           Case{R"({"items":{"type":"null"}})", "[null]", "[1]"},
           Case{R"({"prefixItems":[{"type":"null"}],"items":false})", "[null]", "[null,1]"},
           Case{R"({"items":[{"type":"null"}],"additionalItems":false})", "[null]", "[null,1]"},
           Case{R"({"minItems":1})", "[1]", "[]"},
           Case{R"({"maxItems":1})", "[1]", "[1,2]"},
           Case{R"({"uniqueItems":true})", "[1,2]", "[1,2,1]"},
           Case{R"({"minimum":2})", "2", "1"},
           Case{R"({"maximum":2})", "2", "3"},
           Case{R"({"exclusiveMinimum":2})", "3", "2"},
           Case{R"({"exclusiveMaximum":2})", "1", "2"},
           Case{R"({"multipleOf":0.1})", "0.3", "0.35"},
           Case{R"({"multipleOf":7})", "21", "22"},
           Case{R"({"minLength":2})", "\"éé\"", "\"é\""},
           Case{R"({"maxLength":2})", "\"éé\"", "\"ééé\""},
           Case{R"({"allOf":[{"minimum":1},{"maximum":2}]})", "1", "3"},
           Case{R"({"anyOf":[{"type":"null"},{"type":"string"}]})", "null", "1"},
           Case{R"({"oneOf":[{"type":"null"},{"type":"string"}]})", "\"a\"", "1"},
           Case{R"({"properties":{"a":false}})", "{}", R"({"a":1})"},
           Case{R"({"$defs":{"a/b":{"type":"null"}},"$ref":"#/$defs/a~1b"})", "null", "1"},
       }) {
    EXPECT_TRUE(satisfies(each.schema, each.right)) << each.schema << each.right;
    EXPECT_FALSE(satisfies(each.schema, each.wrong)) << each.schema << each.wrong;
  }
}

TEST(JsonSchema, RecursiveSchemasFollowTheValue) {
  constexpr std::string_view kTree =
      R"({"type":"object","required":["children"],"properties":{"children":{"type":"array",)"
      R"("items":{"$ref":"#"}}}})";
  EXPECT_TRUE(satisfies(kTree, R"({"children":[{"children":[]}]})"));
  EXPECT_THAT(complaints(kTree, R"({"children":[{"children":[{}]}]})"),
              ElementsAre(R"(answer.children[0].children[0] lacks the member "children")"));
}

TEST(JsonSchema, WhatIsNotUnderstoodRejectsNothing) {
  for (std::string_view schema :
       {R"({"pattern":"^x$"})", R"({"format":"date"})", R"({"not":{}})", R"({"type":"text"})",
        R"({"type":7})", R"({"required":7,"properties":[],"items":1,"enum":{}})",
        R"({"$ref":"http://127.0.0.1/x"})", R"({"$ref":"#/nowhere"})", R"({"anyOf":[]})",
        R"({"minimum":"a","minLength":-1,"maxLength":1e9})",
        R"({"patternProperties":{"x":{}},"additionalProperties":false})"})
    for (std::string_view text : {"\"a\"", R"({"a":1})", "[1]", "1"})
      EXPECT_THAT(complaints(schema, text), IsEmpty()) << schema << text;
}

TEST(JsonSchema, HostileSchemasAndTextsEnd) {
  for (std::string_view schema :
       {R"({"$ref":"#"})", R"({"$defs":{"a":{"$ref":"#/$defs/a"}},"$ref":"#/$defs/a"})",
        R"({"anyOf":[{"$ref":"#"},{"$ref":"#"}]})",
        R"({"allOf":[{"$ref":"#"},{"$ref":"#"},{"$ref":"#"}]})"})
    EXPECT_TRUE(satisfies(schema, "{}")) << schema;
  std::string large = "[0";
  for (int i = 1; i < 300'000; ++i) large += ",0";
  large += ']';
  EXPECT_TRUE(satisfies(R"({"items":{"type":"integer"}})", large));
  EXPECT_FALSE(satisfies(R"({"uniqueItems":true})", large));
  std::string deep(1000, '[');
  EXPECT_FALSE(satisfies("{}", deep + std::string(1000, ']')));
  EXPECT_TRUE(satisfies(R"({"pattern":"^(a|b)*$"})", '"' + std::string(300'000, 'a') + '"'));
}

TEST(JsonSchema, AFewComplaintsAreEnough) {
  EXPECT_EQ(complaints(R"({"items":{"type":"null"}})", "[1,1,1,1,1,1,1,1,1]").size(),
            kMaxSchemaComplaints);
  auto none = complaints(R"({"anyOf":[{"type":"null"},{"type":"string"}]})", "1");
  EXPECT_THAT(none, ElementsAre("answer is none of the 2 alternatives; for the first, answer must "
                                "be of type null, and is an integer"));
}

}  // namespace
}  // namespace perdure
