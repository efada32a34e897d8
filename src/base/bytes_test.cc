#include "base/bytes.h"

#include <gtest/gtest.h>

#include <string>

namespace perdure {
namespace {

using namespace std::string_view_literals;

TEST(Bytes, Digests) {
  EXPECT_EQ(to_hex(as_view(sha256("abc"))),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(to_hex(as_view(sha256(""))),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  // RFC 4231, test case 2.
  EXPECT_EQ(to_hex(as_view(hmac_sha256("Jefe", "what do ya want for nothing?"))),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST(Bytes, Hex) {
  EXPECT_EQ(to_hex(""), "");
  EXPECT_EQ(to_hex("\0\x0F\xF0\xFF"sv), "000ff0ff");
}

TEST(Bytes, Base32SortsLikeTheBytes) {
  // RFC 4648 section 10, lower case and without padding.
  EXPECT_EQ(to_base32(""), "");
  EXPECT_EQ(to_base32("f"), "co");
  EXPECT_EQ(to_base32("foobar"), "cpnmuoj1e8");
  EXPECT_LT(to_base32("\x01\xFF"sv), to_base32("\x02\x00"sv));
  EXPECT_LT(to_base32("\x7F"sv), to_base32("\x80"sv));
}

TEST(Bytes, Base64) {
  for (auto [data, text] : {std::pair{""sv, ""sv},
                            {"f"sv, "Zg=="sv},
                            {"fo"sv, "Zm8="sv},
                            {"foo"sv, "Zm9v"sv},
                            {"foob"sv, "Zm9vYg=="sv},
                            {"\0\xFF\xFE"sv, "AP/+"sv}}) {
    EXPECT_EQ(to_base64(data), text);
    EXPECT_EQ(from_base64(text), data);
  }
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  for (std::size_t length = 0; length <= all.size(); ++length)
    EXPECT_EQ(from_base64(to_base64(all.substr(0, length))), all.substr(0, length));
}

TEST(Bytes, Base64RefusesWhatIsNotStrict) {
  for (std::string_view text : {"Z", "Zg", "Zg=", "Zg===", "=", "====", "Zg==Zg==", "Z=g=",
                                "Zm9v\n", "Zm 9", "Zm-_", " Zm9v", "Zm9v====", "Zh==", "Zm9="})
    EXPECT_EQ(from_base64(text), std::nullopt) << text;
  EXPECT_EQ(from_base64("Zm9\0"sv), std::nullopt);
}

TEST(Bytes, ConstantTimeEquality) {
  EXPECT_TRUE(equal_in_constant_time("", ""));
  EXPECT_TRUE(equal_in_constant_time("secret", "secret"));
  EXPECT_FALSE(equal_in_constant_time("secret", "secreT"));
  EXPECT_FALSE(equal_in_constant_time("secret", "secrets"));
}

TEST(Bytes, Utf8AcceptsTheEdgesOfEachLength) {
  for (std::string_view text :
       {""sv, "\0\x7F"sv, "\xC2\x80\xDF\xBF"sv,
        "\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF"sv, "\xF0\x90\x80\x80\xF4\x8F\xBF\xBF"sv})
    EXPECT_TRUE(is_valid_utf8(text)) << to_hex(text);
  EXPECT_EQ(utf8_sequence_length("\xE2\x82\xAC!"), 3u);
  EXPECT_EQ(utf8_sequence_length(""), 0u);
}

TEST(Bytes, Utf8RefusesStrayOverlongAndForbiddenSequences) {
  for (std::string_view text :
       {"\x80"sv, "\xBF"sv, "\xC2"sv, "\xC2\x41"sv, "\xC0\x80"sv, "\xC1\xBF"sv, "\xE0\x9F\xBF"sv,
        "\xE2\x82"sv, "\xE2\x82\x41"sv, "\xED\xA0\x80"sv, "\xED\xBF\xBF"sv, "\xF0\x8F\xBF\xBF"sv,
        "\xF0\x9F\x98"sv, "\xF4\x90\x80\x80"sv, "\xF5\x80\x80\x80"sv, "\xFE"sv, "\xFF"sv,
        "ok\xC3"sv})
    EXPECT_FALSE(is_valid_utf8(text)) << to_hex(text);
}

}  // namespace
}  // namespace perdure
