#include "base/raw_json.h"

#include <gmock/gmock.h>

#include <string>
#include <vector>

namespace perdure {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

Error refusal_of(std::string_view text, StrictOptions options = {}) {
  auto result = check_strict_json(text, options);
  EXPECT_FALSE(result) << "accepted: " << text;
  return result ? Error{} : result.error();
}

bool accepts(std::string_view text, StrictOptions options = {}) {
  return check_strict_json(text, options).has_value();
}

std::string nested(std::size_t depth) {
  return std::string(depth, '[') + std::string(depth, ']');
}

TEST(StrictJson, AcceptsEveryKindOfValue) {
  for (std::string_view text :
       {"null", "true", " false ", "0", "-0", "-12.5e-3", "1E+2", "\"\"", "[]", "{}", "\t[ ]\r\n",
        R"({"a":[1,{"b":null},[]],"c":{},"":"x"})", R"("\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\u0000")",
        "\"\xC3\xA9\xF0\x9F\x98\x80\x7F\"", R"([{"a":1},{"a":1}])", R"({"a":{"a":{"a":1}}})"})
    EXPECT_TRUE(accepts(text)) << text;
}

TEST(StrictJson, RefusesWhatIsNotWellFormed) {
  for (std::string_view text :
       {"",          " ",           "nul",        "nulll",    "True",       "NaN",
        "Infinity",  "01",          "-",          "-a",       "+1",         ".5",
        "1.",        "1.e2",        "1e",         "1e+",      "0x10",       "[",
        "]",         "[1",          "[1,",        "[1,]",     "[,1]",       "[1 2]",
        "{",         "}",           "{]",         "[}",       R"({"a")",    R"({"a":)",
        R"({"a":1)", R"({"a":1,})", R"({"a" 1})", R"({a:1})", R"({'a':1})", R"({1:1})",
        "\"",        "\"a",         R"("\)",      R"("\x")",  R"("\u12")",  R"("\u12g4")",
        "\"\n\"",    "1 1",         "{}{}",       "[]]",      "// c\n1",    "\"a\" x"})
    EXPECT_EQ(refusal_of(text).code, ErrorCode::kInvalidArgument) << text;
  EXPECT_FALSE(accepts(std::string_view("\"\0\"", 3)));
  EXPECT_FALSE(accepts(std::string_view("1\0", 2)));
}

TEST(StrictJson, RefusesInvalidUtf8AndByteOrderMarks) {
  for (std::string_view text : {"\"\x80\"", "\"\xC3\"", "\"\xC0\xAF\"", "\"\xED\xA0\x80\"",
                                "\"\xF4\x90\x80\x80\"", "\"\xFF\"", "{\"\xC3\":1}", "\xC3\xA9"})
    EXPECT_FALSE(accepts(text)) << text;
  EXPECT_THAT(refusal_of("\"ab\xFF\"").message, HasSubstr("invalid UTF-8 in a string (at byte 3)"));
  EXPECT_THAT(refusal_of("\xEF\xBB\xBF{}").message, HasSubstr("byte order mark"));
}

TEST(StrictJson, RefusesHalfSurrogatePairs) {
  for (std::string_view text : {R"("\ud83d")", R"("\ude00")", R"("\ud83d\n")", R"("\ud83dx")",
                                R"("\ud83d\ud83d")", R"("\ud83d\u0041")", R"({"\udc00":1})"})
    EXPECT_THAT(refusal_of(text).message, HasSubstr("half of a surrogate pair")) << text;
}

TEST(StrictJson, RefusesDuplicateKeysAtAnyDepth) {
  Error error = refusal_of(R"({"tools":[{"name":"x","parameters":{"path":1,"q":2,"path":3}}]})");
  EXPECT_EQ(error.param, "tools[0].parameters.path");
  EXPECT_THAT(error.message, HasSubstr("twice in its object (at byte 51, in tools[0].param"));

  EXPECT_FALSE(accepts(R"({"a":1,"a":1})"));
  EXPECT_FALSE(accepts(R"({"":1,"":1})"));
  EXPECT_FALSE(accepts(R"({"a":{"a":1},"b":2,"a":3})"));
  EXPECT_FALSE(accepts(R"([[{"x":[]},{"y":0,"y":0}]])"));
}

TEST(StrictJson, ComparesKeysDecoded) {
  EXPECT_EQ(refusal_of(R"({"a":1,"\u0061":2})").param, R"(a)");
  EXPECT_FALSE(accepts(R"({"/":1,"\/":2})"));
  EXPECT_FALSE(accepts("{\"\xF0\x9F\x98\x80\":1,\"\\ud83d\\uDE00\":2}"));
  EXPECT_TRUE(accepts(R"({"a":1,"A":2})"));
  EXPECT_TRUE(accepts(R"({"\\u0061":1,"a":2,"\\\\u0061":3})"));
  EXPECT_TRUE(accepts(R"({"\u0000":1,"":2,"\u0000\u0000":3})"));
}

TEST(StrictJson, FindsTheDuplicateAmongManyKeys) {
  std::string text = "{";
  for (int i = 0; i < 20'000; ++i) text += "\"key" + std::to_string(i) + "\":0,";
  EXPECT_TRUE(accepts(text + "\"last\":0}"));
  EXPECT_EQ(refusal_of(text + "\"key777\":0}").param, "key777");
}

TEST(StrictJson, HoldsTheDepthLimit) {
  EXPECT_TRUE(accepts(nested(kMaxJsonDepth)));
  EXPECT_THAT(refusal_of(nested(kMaxJsonDepth + 1)).message, HasSubstr("deeper than 64 levels"));
  EXPECT_TRUE(accepts("1", {.max_depth = 0}));
  EXPECT_FALSE(accepts("{}", {.max_depth = 0}));
  EXPECT_FALSE(accepts(std::string(1'000'000, '[')));
  EXPECT_TRUE(accepts(nested(200'000), {.max_depth = 200'000}));
}

TEST(StrictJson, NamesThePlace) {
  EXPECT_EQ(refusal_of(R"({"input":[1,{"content":[{"text":"a"},{"text":x}]}]})").param,
            "input[1].content[1].text");
  EXPECT_EQ(refusal_of(R"([[1],[2,?]])").param, "[1][1]");
  EXPECT_EQ(refusal_of("?").param, "");
  EXPECT_THAT(refusal_of(R"({"a":1)").message,
              HasSubstr("it ends where a comma or the end of the object was expected (at byte 6"));
  EXPECT_EQ(refusal_of(R"({"a b\n":{"c":?}})").param, R"(["a b\n"].c)");
  Error error = refusal_of("{\"" + std::string(63, 'k') + "\xC3\xA9\xC3\xA9\":?}");
  EXPECT_EQ(error.param, "[\"" + std::string(63, 'k') + "\"]") << "cut between two characters";
}

TEST(StrictJson, RefusesNumbersNoDoubleCanHold) {
  for (std::string_view text : {"1e309", "-1e400", "1e99999999999999999999", "0e9999999999",
                                "1e-9999999999", "1797693134862315800e291"})
    EXPECT_THAT(refusal_of(text).message, HasSubstr("beyond the range")) << text;
  EXPECT_FALSE(accepts(std::string(310, '9')));
  EXPECT_TRUE(accepts("1e-400"));
  EXPECT_TRUE(accepts("1.7976931348623157e308"));
  EXPECT_TRUE(accepts("12345678901234567890123"));
}

TEST(StrictJson, ExactNumbersKeepTheirValue) {
  for (std::string_view text : {"0",
                                "-0",
                                "0.0",
                                "0e5",
                                "1.0",
                                "0.10",
                                "1e2",
                                "1E+02",
                                "100e-2",
                                "0.7",
                                "-0.3",
                                "9223372036854775807",
                                "-9223372036854775808",
                                "18446744073709551615",
                                "9007199254740993",
                                "100000000000000000000",
                                "1e22",
                                "0.30000000000000004",
                                "5e-324",
                                "1.7976931348623157e308",
                                "2.2250738585072014e-308",
                                "0.000001000",
                                "123456.789e3"})
    EXPECT_TRUE(accepts(text, {.exact_numbers = true})) << text;
  for (std::string_view text :
       {"12345678901234567890123", "-9223372036854775809", "18446744073709551617",
        "9007199254740993.0", "0.1000000000000000055", "1e-400", "4.9e-324", "1e400",
        "3.14159265358979323846", "123456789012345678.5"})
    EXPECT_FALSE(accepts(text, {.exact_numbers = true})) << text;
  EXPECT_EQ(refusal_of(R"({"amount":[1e-400]})", {.exact_numbers = true}).param, "amount[0]");
}

TEST(RawJson, GivesMembersByteForByte) {
  std::string_view text =
      "{ \"a\" : {\"x\": \"}\\\"]\", \"y\":[1 , 2]} ,\n\"b\":1.50, \"c\" : \"q\" }";
  EXPECT_EQ(raw_member(text, "a"), "{\"x\": \"}\\\"]\", \"y\":[1 , 2]}");
  EXPECT_EQ(raw_member(text, "b"), "1.50");
  EXPECT_EQ(raw_member(text, "c"), "\"q\"");
  EXPECT_EQ(raw_member(text, "x"), std::nullopt);
  EXPECT_EQ(raw_member("[1]", "a"), std::nullopt);
  EXPECT_EQ(raw_member("{}", ""), std::nullopt);
  EXPECT_EQ(raw_member(R"({"\u0061\n":true})", "a\n"), "true");
}

TEST(RawJson, WalksElementsAndMembersInOrder) {
  std::vector<std::string> elements;
  for_each_raw_element(" [ 1,\"a,]\" , [2,[3]],{} ,null ] ",
                       [&](std::string_view value) { elements.emplace_back(value); });
  EXPECT_THAT(elements, ElementsAre("1", "\"a,]\"", "[2,[3]]", "{}", "null"));

  std::vector<std::pair<std::string, std::string>> members;
  for_each_raw_member(
      R"({"a":-1e5,"\"":"\\","c":[{}]})",
      [&](std::string_view key, std::string_view value) { members.emplace_back(key, value); });
  EXPECT_THAT(members, ElementsAre(Pair("a", "-1e5"), Pair("\"", R"("\\")"), Pair("c", "[{}]")));

  EXPECT_EQ(RawArrayReader("[]").next(), std::nullopt);
  EXPECT_EQ(RawArrayReader("{\"a\":1}").next(), std::nullopt);
  EXPECT_FALSE(RawObjectReader("[\"a\"]").next());
}

TEST(RawJson, StaysInBoundsOnUncheckedText) {
  for (std::string_view text :
       {"", "[", "{", "[\"", "[\"\\", "{\"a", "{\"a\"", "{\"a\":", "[,]", "[[", "{\"a\":}",
        "{\"a\" \"b\"}", "{\"\\u", "[1]]", "{\"a\":\"\\ud83d\"}"}) {
    for_each_raw_element(text, [](std::string_view) {});
    for_each_raw_member(text, [](std::string_view, std::string_view) {});
  }
}

TEST(RawJson, DecodesStringLiterals) {
  EXPECT_EQ(decode_json_string(R"("a\"\\\/\b\f\n\r\t")"), "a\"\\/\b\f\n\r\t");
  EXPECT_EQ(decode_json_string(R"("\u0041\u00e9\u20ac\ud83d\ude00")"),
            "A\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80");
  EXPECT_EQ(decode_json_string("\"\\u0000\""), std::string(1, '\0'));
  EXPECT_EQ(decode_json_string("17"), "");
  EXPECT_EQ(decode_json_string("\""), "");
}

}  // namespace
}  // namespace perdure
