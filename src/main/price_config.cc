#include "main/price_config.h"

#include <string>

#include "base/decimal.h"

namespace perdure::app {

Result<std::optional<models::Price>> read_price(TomlSection& owner) {
  TomlSection section = owner.section("price");
  const auto input = section.decimal("input");
  const auto output = section.decimal("output");
  const auto cached_input = section.decimal("cached_input");
  const auto cache_write = section.decimal("cache_write");
  TRY_VOID(section.finish());
  if (!section.present()) return std::nullopt;
  if (!input) return section.wrong("input", "is missing");
  if (!output) return section.wrong("output", "is missing");
  const auto pico = [&](std::string_view key, const std::string& text) -> Result<std::int64_t> {
    const auto parsed = parse_decimal(text, models::kPricePlaces);
    if (parsed && *parsed >= 0) return *parsed;
    return section.wrong(key,
                         "must be dollars a million tokens: at least 0, with at most six decimal "
                         "places");
  };
  models::Price price;
  TRY(plain, pico("input", *input));
  TRY(cached, pico("cached_input", cached_input.value_or(*input)));
  TRY(written, pico("cache_write", cache_write.value_or(*input)));
  TRY(answer, pico("output", *output));
  price.input = plain;
  price.cached_input = cached;
  price.cache_write = written;
  price.output = answer;
  return price;
}

}  // namespace perdure::app
