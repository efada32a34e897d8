#include "facades/common/json_reader.h"

#include <gtest/gtest.h>

namespace perdure::facades {
namespace {

JsonField field(std::string_view raw, std::string path = "p") {
  return {raw, std::move(path)};
}

TEST(JsonReader, TypeErrorsNameBothKinds) {
  auto message = [](std::string_view raw) { return read_string(field(raw)).error().message; };
  EXPECT_EQ(message("1"), "Invalid type for 'p': expected a string, but got an integer instead.");
  EXPECT_EQ(message("1.5"),
            "Invalid type for 'p': expected a string, but got a decimal number instead.");
  EXPECT_EQ(message("null"), "Invalid type for 'p': expected a string, but got null instead.");
  EXPECT_EQ(message("{}"), "Invalid type for 'p': expected a string, but got an object instead.");
  EXPECT_EQ(message("[]"), "Invalid type for 'p': expected a string, but got an array instead.");
  EXPECT_EQ(message("true"), "Invalid type for 'p': expected a string, but got a boolean instead.");
  EXPECT_EQ(JsonObject::read(field("[]", "")).error().message,
            "Invalid type for the request body: expected an object, but got an array instead.");
}

TEST(JsonReader, ChoicesAreListed) {
  auto error = read_choice(field("\"x\"", "order"), {"asc", "desc"}).error();
  EXPECT_EQ(error.message, "Invalid value: 'x'. Supported values are: 'asc' and 'desc'.");
  EXPECT_EQ(error.param, "order");
  EXPECT_EQ(read_choice(field("\"x\""), {"a", "b", "c"}).error().message,
            "Invalid value: 'x'. Supported values are: 'a', 'b', and 'c'.");
}

TEST(JsonReader, IntegersAreBounded) {
  EXPECT_EQ(read_integer(field("7"), 1), 7);
  EXPECT_EQ(read_integer(field("0"), 1).error().message,
            "Invalid 'p': integer below minimum value. Expected a value >= 1, but got 0 instead.");
  EXPECT_FALSE(read_integer(field("1.0"), 1));
  EXPECT_FALSE(read_integer(field("99999999999999999999"), 1));
}

TEST(JsonReader, UnknownMembersAreNamedByPath) {
  auto object = JsonObject::read(field(R"({"a":1,"b":2})", "agent"));
  ASSERT_TRUE(object);
  EXPECT_TRUE(object->allow({"a", "b"}));
  auto error = object->allow({"a"}).error();
  EXPECT_EQ(error.message, "Unknown parameter: 'agent.b'.");
  EXPECT_EQ(error.param, "agent.b");
}

TEST(JsonReader, NullIsAValueButFindValueSkipsIt) {
  auto object = JsonObject::read(field(R"({"a": null })"));
  EXPECT_TRUE(object->find("a"));
  EXPECT_FALSE(object->find_value("a"));
  EXPECT_FALSE(object->find("b"));
  EXPECT_EQ(object->require("b").error().message, "Missing required parameter: 'p.b'.");
}

TEST(JsonReader, ElementsOfArraysHaveNumberedPaths) {
  auto elements = read_array(field(R"([ 1 , {"x": 2} ])", "events"));
  ASSERT_EQ(elements->size(), 2u);
  EXPECT_EQ((*elements)[1].path, "events[1]");
  EXPECT_EQ((*elements)[1].raw, R"({"x": 2})");
}

TEST(JsonReader, LongNamesAreCutAtACharacterInMessages) {
  std::string key(63, 'x');
  auto object = JsonObject::read(field("{\"" + key + "\u00e9\": 1}", ""));
  EXPECT_EQ(object->allow({}).error().param, key);
}

TEST(JsonReader, CanonicalTextIgnoresSpaceOrderAndEscapes) {
  EXPECT_EQ(canonical_json(R"( { "b" : [1, 2.50 ,null], "a":"\u0041\/" } )"),
            R"({"a":"A/","b":[1,2.50,null]})");
  EXPECT_NE(canonical_json("[1,2]"), canonical_json("[2,1]"));
}

TEST(JsonReader, CharactersAreCountedNotBytes) {
  EXPECT_EQ(character_count("a\u00e9\U0001F600"), 3u);
}

}  // namespace
}  // namespace perdure::facades
