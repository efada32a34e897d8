#include "models/catalog.h"

#include <gtest/gtest.h>

#include "models/scripted.h"

namespace perdure::models {
namespace {

std::vector<std::unique_ptr<Provider>> providers(std::initializer_list<const char*> names) {
  std::vector<std::unique_ptr<Provider>> out;
  for (const char* name : names) out.push_back(make_scripted(name));
  return out;
}

TEST(Catalog, GivesAConfiguredModelItsProviderAndUpstreamName) {
  auto catalog = Catalog::make(providers({"one", "two"}), {{"fast", "two", "tiny-7b", 8192}});
  ASSERT_TRUE(catalog);
  auto resolved = catalog->resolve("fast");
  ASSERT_TRUE(resolved);
  EXPECT_EQ(resolved->provider->name(), "two");
  EXPECT_EQ(resolved->upstream, "tiny-7b");
  EXPECT_EQ(resolved->context_window, 8192);
}

TEST(Catalog, AModelWithoutUpstreamIsAskedForByItsOwnName) {
  auto catalog = Catalog::make(providers({"one"}), {{"m", "one", "", 0}});
  ASSERT_TRUE(catalog);
  EXPECT_EQ(catalog->resolve("m")->upstream, "m");
}

TEST(Catalog, SendsAnUnknownNameAsItIsToTheFirstProvider) {
  auto catalog = Catalog::make(providers({"one", "two"}), {});
  ASSERT_TRUE(catalog);
  auto resolved = catalog->resolve("gpt-anything");
  ASSERT_TRUE(resolved);
  EXPECT_EQ(resolved->provider->name(), "one");
  EXPECT_EQ(resolved->upstream, "gpt-anything");
}

TEST(Catalog, SaysWhichConfigurationIsWrong) {
  auto unknown = Catalog::make(providers({"one"}), {{"m", "nobody", "", 0}});
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(unknown.error().message.find("'nobody'"), std::string::npos);
  EXPECT_FALSE(Catalog::make(providers({"one", "one"}), {}));
  EXPECT_FALSE(Catalog::make(providers({"one"}), {{"m", "one", "", 0}, {"m", "one", "", 0}}));
  EXPECT_FALSE(Catalog::make(providers({"one"}), {{"", "one", "", 0}}));
}

TEST(Catalog, WithoutProvidersNothingIsFound) {
  auto catalog = Catalog::make({}, {});
  ASSERT_TRUE(catalog);
  auto resolved = catalog->resolve("m");
  ASSERT_FALSE(resolved);
  EXPECT_EQ(resolved.error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace perdure::models
