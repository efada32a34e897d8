#include "engine/function_result.h"

#include <gmock/gmock.h>

#include "base/bytes.h"
#include "engine/limits.h"

namespace perdure::engine {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

TEST(FunctionResult, IsTextPartsOrAFailure) {
  EXPECT_EQ(text_of_result(true, R"("plain")", {}), "plain");
  EXPECT_EQ(text_of_result(true,
                           R"([{"type":"input_text","text":"a"},{"type":"input_text",)"
                           R"("text":"b"}])",
                           {}),
            "a\nb");
  EXPECT_EQ(text_of_result(true, {}, {}), "");
  EXPECT_EQ(text_of_result(false, R"("x")", "no paint"), "Error: no paint");
}

TEST(FunctionResult, ImagesAreNamedInTheTextAndGivenApart) {
  std::string output =
      R"([{"type":"input_text","text":"see"},{"type":"input_image","image_url":"https://x/a"},)"
      R"({"type":"input_image","image_url":"data:image/png;base64,AA=="}])";
  EXPECT_EQ(text_of_result(true, output, {}),
            "see\n[an image, shown below]\n[an image, shown below]");
  EXPECT_THAT(images_of_result(output), ElementsAre("https://x/a", "data:image/png;base64,AA=="));
  EXPECT_THAT(images_of_result(R"("input_image")"), IsEmpty());
  EXPECT_THAT(images_of_result({}), IsEmpty());
}

TEST(FunctionResult, TheMiddleOfALongTextIsLeftOut) {
  std::string exact(kMaxResultBytes, 'x');
  EXPECT_EQ(fit_result(exact), exact);
  std::string text = "begin" + std::string(kMaxResultBytes, 'x') + "end";
  std::string fit = fit_result(text);
  EXPECT_THAT(fit, StartsWith("beginxxx"));
  EXPECT_THAT(fit, EndsWith("xxxend"));
  EXPECT_THAT(fit, HasSubstr("\n[Here 8 of the " + std::to_string(text.size()) +
                             " bytes of this result are left out.]\n"));
  EXPECT_THAT(text_of_result(false, {}, text), StartsWith("Error: begin"));
  EXPECT_LT(text_of_result(false, {}, text).size(), kMaxResultBytes + 100);
}

TEST(FunctionResult, NoCharacterIsCut) {
  std::string text;
  while (text.size() <= kMaxResultBytes) text += "\xe5\xa4\xa9";
  for (int shift = 0; shift < 3; ++shift, text.insert(text.begin(), 'x'))
    EXPECT_TRUE(is_valid_utf8(fit_result(text)));
}

}  // namespace
}  // namespace perdure::engine
