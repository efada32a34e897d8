#include "base/json.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "base/env.h"

namespace perdure {
namespace {

TEST(Json, KeepsOrderAndText) {
  std::string text = R"({"z":1,"a":[true,null,"\"\\\n\u0001é"],"m":{}})";
  auto value = parse_json(text);
  ASSERT_TRUE(value);
  EXPECT_EQ(perdure::serialize(*value), text);
}

TEST(Json, PrintsDoublesInTheirShortestForm) {
  for (auto [number, text] : {std::pair{0.7, "0.7"},
                              {1.0, "1.0"},
                              {-0.0, "-0.0"},
                              {100.0, "100.0"},
                              {1e22, "1e+22"},
                              {0.1 + 0.2, "0.30000000000000004"},
                              {5e-324, "5e-324"},
                              {1.7976931348623157e308, "1.7976931348623157e+308"}})
    EXPECT_EQ(perdure::serialize(json::value(number)), text);
}

TEST(Json, DoublesComeBackAsTheSameDoubles) {
  FakeEnv env;
  for (int i = 0; i < 20'000; ++i) {
    double number = std::bit_cast<double>(env.random_u64());
    if (!std::isfinite(number)) continue;
    auto back = parse_json(perdure::serialize(json::value(number)));
    ASSERT_TRUE(back && back->is_double()) << number;
    EXPECT_EQ(back->get_double(), number);
  }
}

TEST(Json, IntegersKeepTheirType) {
  EXPECT_TRUE(parse_json("-9223372036854775808")->is_int64());
  EXPECT_TRUE(parse_json("18446744073709551615")->is_uint64());
  EXPECT_TRUE(parse_json("18446744073709551616")->is_double());
  EXPECT_TRUE(parse_json("1.0")->is_double());
  EXPECT_EQ(perdure::serialize(*parse_json("[-9223372036854775808,18446744073709551615,1e2]")),
            "[-9223372036854775808,18446744073709551615,100.0]");
}

TEST(Json, TooSmallBecomesZeroAndTooLargeIsRefused) {
  EXPECT_EQ(parse_json("1e-400")->get_double(), 0.0);
  EXPECT_TRUE(std::signbit(parse_json("-1e-400")->get_double()));
  for (std::string_view text : {"1e400", "-1e400", "1e309"}) {
    auto value = parse_json(text);
    ASSERT_FALSE(value) << text;
    EXPECT_EQ(value.error().code, ErrorCode::kInvalidArgument);
  }
  EXPECT_FALSE(parse_json(std::string(310, '9')));
}

TEST(Json, RefusesWhatIsNotOneText) {
  for (std::string_view text : {"", "{", "[1,]", "1 2", "nul", "\"\xFF\"", "// no\n1"})
    EXPECT_FALSE(parse_json(text)) << text;
  std::string deep = std::string(kMaxJsonDepth, '[') + std::string(kMaxJsonDepth, ']');
  EXPECT_TRUE(parse_json(deep));
  EXPECT_FALSE(parse_json("[" + deep + "]"));
}

TEST(Json, ReadersFallBack) {
  json::object object = parse_json(R"({"s":"x","i":5,"b":true,"o":{"k":1},"a":[1]})")->get_object();
  EXPECT_EQ(get_string(object, "s"), "x");
  EXPECT_EQ(get_string(object, "i", "none"), "none");
  EXPECT_EQ(get_int(object, "i"), 5);
  EXPECT_EQ(get_int(object, "absent", -1), -1);
  EXPECT_TRUE(get_bool(object, "b"));
  EXPECT_EQ(get_object(object, "o").size(), 1u);
  EXPECT_TRUE(get_object(object, "a").empty());
  EXPECT_EQ(get_array(object, "a").size(), 1u);
  EXPECT_EQ(find(object, "absent"), nullptr);
}

TEST(AppendQuoted, AgreesWithTheParserWhereverAnEscapeStands) {
  for (std::size_t length = 0; length < 40; ++length)
    for (std::size_t place = 0; place < length; ++place)
      for (char c : {'"', '\\', '\n', '\x01', '\x1f', ' ', '!', '#', '[', ']', '\x7f'}) {
        std::string text(length, 'a');
        text[place] = c;
        if (place > 2) text.replace(0, 2, "\u00e9");
        std::string quoted;
        append_quoted(quoted, text);
        auto parsed = parse_json(quoted);
        ASSERT_TRUE(parsed) << quoted;
        ASSERT_EQ(as_view(parsed->get_string()), text) << quoted;
        bool escaped = c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20;
        ASSERT_EQ(quoted.size() > length + 2, escaped) << quoted;
      }
}

}  // namespace
}  // namespace perdure
