#include "models/catalog.h"

#include <gtest/gtest.h>

#include <limits>
#include <tuple>

#include "models/scripted.h"

namespace perdure::models {
namespace {

/// Calls of it cost money.
class PaidProvider final : public Provider {
 public:
  std::string_view name() const override { return "paid"; }
  std::string_view kind() const override { return "fake"; }
  Capabilities capabilities() const override { return {}; }
  async::Task<std::expected<ModelOutput, ModelFailure>> generate(ModelRequest, ModelSink*,
                                                                 async::CancelToken) override {
    co_return ModelOutput{};
  }
};

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

TEST(Catalog, APoolsPriceIsItsOwnOrTheModels) {
  constexpr Price kOfModel{1, 2, 3, 4}, kOfPool{5, 6, 7, 8};
  auto all = providers({"free"});
  all.insert(all.begin(), std::make_unique<PaidProvider>());
  std::vector<PoolEntry> pools = {
      {.name = "own", .provider = "paid", .price = kOfPool},
      {.name = "hours", .provider = "paid", .price_per_hour = 1},
      {.name = "both", .provider = "paid", .price = kOfPool, .price_per_hour = 1},
      {.name = "reserved", .provider = "paid", .pool_class = PoolClass::kReserved}};
  ModelEntry priced{.name = "priced", .price = kOfModel};
  priced.pools = {"paid", "own", "hours", "both", "reserved", "free"};
  ModelEntry unpriced{.name = "unpriced", .pools = priced.pools};
  auto catalog = Catalog::make(std::move(all), {priced, unpriced}, std::move(pools));
  ASSERT_TRUE(catalog) << catalog.error().message;
  const Resolved with = *catalog->resolve("priced"), without = *catalog->resolve("unpriced");
  for (const auto& [pool, expected, alone] :
       std::vector<std::tuple<std::string, std::optional<Price>, std::optional<Price>>>{
           {"paid", kOfModel, std::nullopt},
           {"own", kOfPool, kOfPool},
           {"hours", Price{}, Price{}},
           {"both", kOfPool, kOfPool},
           {"reserved", kOfModel, std::nullopt},
           {"free", kOfModel, Price{}},
           {"nowhere", std::nullopt, std::nullopt}}) {
    EXPECT_EQ(with.price_in(pool), expected) << pool;
    EXPECT_EQ(without.price_in(pool), alone) << pool;
  }
  EXPECT_EQ(catalog->resolve("unknown")->price_in("paid"), std::nullopt);
  EXPECT_EQ(catalog->resolve("unknown")->price_in("own"), std::nullopt) << "it does not go there";
}

TEST(Catalog, APoolsWindowAndUpstreamAreItsOwnOrTheModels) {
  ModelEntry model{.name = "m", .upstream = "u", .context_window = 100, .pools = {"one", "own"}};
  auto catalog =
      Catalog::make(providers({"one"}), {model},
                    {{.name = "own", .provider = "one", .upstream = "v", .context_window = 50}});
  ASSERT_TRUE(catalog);
  const Resolved resolved = *catalog->resolve("m");
  EXPECT_EQ(resolved.window_in(*resolved.pools[0].entry), 100);
  EXPECT_EQ(resolved.upstream_in(*resolved.pools[0].entry), "u");
  EXPECT_EQ(resolved.window_in(*resolved.pools[1].entry), 50);
  EXPECT_EQ(resolved.upstream_in(*resolved.pools[1].entry), "v");
}

TEST(Catalog, AReservationCostsItsUnitsDayAndNight) {
  constexpr Money kDollar = 100 * kNanoPerCent;
  EXPECT_EQ(cost_per_day({.units = 50}), std::nullopt);
  EXPECT_EQ(cost_per_day({.units = 50, .price_per_hour = kDollar}), 1'200 * kDollar);
  EXPECT_EQ(cost_per_day({.price_per_hour = kDollar / 2}), 12 * kDollar) << "one unit";
  constexpr Money kMost = std::numeric_limits<Money>::max();
  EXPECT_EQ(cost_per_day({.units = 1'000'000, .price_per_hour = kMost}), kMost);
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
