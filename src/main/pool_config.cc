#include "main/pool_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "base/decimal.h"
#include "main/price_config.h"

namespace perdure::app {
namespace {

constexpr std::int64_t kLongestMs = 24LL * 3600 * 1000;
constexpr std::int64_t kLargestLimit = 1'000'000'000'000;
constexpr std::int64_t kLargestCount = 1'000'000;

/// A value of a section and the bounds it must keep.
struct Bounded {
  std::string_view key;
  std::int64_t value;
  std::int64_t least;
  std::int64_t most;
};

Result<void> check(const TomlSection& section, const std::vector<Bounded>& all) {
  for (const Bounded& one : all)
    if (one.value < one.least || one.value > one.most)
      return section.wrong(one.key, fmt::format("must be between {} and {}", one.least, one.most));
  return {};
}

/// Of one unit, in nano-dollars.
Result<std::optional<models::Money>> read_price_per_hour(TomlSection& section) {
  const auto text = section.text("price_per_hour");
  if (!text) return std::nullopt;
  const auto money = parse_decimal(*text, models::kMoneyPlaces);
  if (money && *money >= 0) return money;
  return section.wrong("price_per_hour",
                       "must be dollars as a text, such as \"12.50\", with at most nine decimal "
                       "places");
}

/// Kept as it was written until it is checked: a cut value would pass for another one.
int as_int(std::int64_t value) {
  return static_cast<int>(std::clamp<std::int64_t>(value, -1, kLargestCount + 1));
}

}  // namespace

CallConfig read_calls(TomlSection& provider) {
  CallConfig calls;
  auto number = [&](std::string_view key, std::int64_t fallback) {
    return provider.integer(key).value_or(fallback);
  };
  calls.timeouts.connect_ms = number("connect_timeout_ms", calls.timeouts.connect_ms);
  calls.timeouts.headers_ms = number("first_byte_timeout_ms", calls.timeouts.headers_ms);
  calls.timeouts.idle_ms = number("silence_timeout_ms", calls.timeouts.idle_ms);
  calls.rules.total_ms = number("total_timeout_ms", calls.rules.total_ms);
  calls.rules.attempts = as_int(number("attempts", calls.rules.attempts));
  calls.rules.retry_percent = as_int(number("retry_percent", calls.rules.retry_percent));
  calls.rules.retry_floor = as_int(number("retry_floor", calls.rules.retry_floor));
  calls.max_in_flight = as_int(number("max_in_flight", 0));
  calls.requests_per_minute = number("requests_per_minute", 0);
  calls.tokens_per_minute = number("tokens_per_minute", 0);
  return calls;
}

Result<void> check_calls(const TomlSection& provider, const CallConfig& calls) {
  return check(provider, {{"connect_timeout_ms", calls.timeouts.connect_ms, 1, kLongestMs},
                          {"first_byte_timeout_ms", calls.timeouts.headers_ms, 1, kLongestMs},
                          {"silence_timeout_ms", calls.timeouts.idle_ms, 1, kLongestMs},
                          {"total_timeout_ms", calls.rules.total_ms, 1, kLongestMs},
                          {"attempts", calls.rules.attempts, 1, 20},
                          {"retry_percent", calls.rules.retry_percent, 0, 100},
                          {"retry_floor", calls.rules.retry_floor, 0, kLargestCount},
                          {"max_in_flight", calls.max_in_flight, 0, kLargestCount},
                          {"requests_per_minute", calls.requests_per_minute, 0, kLargestLimit},
                          {"tokens_per_minute", calls.tokens_per_minute, 0, kLargestLimit}});
}

Result<models::PoolEntry> read_pool(TomlSection& section) {
  models::PoolEntry pool;
  pool.name = section.text("name").value_or("");
  pool.provider = section.text("provider").value_or("");
  pool.upstream = section.text("upstream").value_or("");
  pool.weight = as_int(section.integer("weight").value_or(1));
  pool.priority = as_int(section.integer("priority").value_or(0));
  std::string word = section.text("class").value_or("on_demand");
  pool.context_window = section.integer("context_window").value_or(0);
  pool.max_in_flight = as_int(section.integer("max_in_flight").value_or(0));
  pool.requests_per_minute = section.integer("requests_per_minute").value_or(0);
  pool.tokens_per_minute = section.integer("tokens_per_minute").value_or(0);
  auto units = section.integer("units");
  pool.units = as_int(units.value_or(0));
  TRY(price, read_price(section));
  TRY(price_per_hour, read_price_per_hour(section));
  pool.price = price;
  pool.price_per_hour = price_per_hour;
  TRY_VOID(section.finish());
  if (pool.name.empty()) return section.wrong("name", "is missing");
  if (pool.provider.empty()) return section.wrong("provider", "is missing");
  auto pool_class = models::pool_class_from(word);
  if (!pool_class)
    return section.wrong("class", fmt::format("'{}' is not a class of capacity (reserved, "
                                              "on_demand, flex, batch, local)",
                                              word));
  pool.pool_class = *pool_class;
  TRY_VOID(check(section, {{"weight", pool.weight, 1, 1'000},
                           {"priority", pool.priority, 0, 1'000},
                           {"context_window", pool.context_window, 0, kLargestLimit},
                           {"max_in_flight", pool.max_in_flight, 0, kLargestCount},
                           {"requests_per_minute", pool.requests_per_minute, 0, kLargestLimit},
                           {"tokens_per_minute", pool.tokens_per_minute, 0, kLargestLimit},
                           {"units", pool.units, units ? 1 : 0, kLargestCount}}));
  bool reserved = pool.pool_class == models::PoolClass::kReserved;
  if (units && !reserved) return section.wrong("units", "belong to the class 'reserved' only");
  if (pool.price_per_hour && !reserved)
    return section.wrong("price_per_hour", "belongs to the class 'reserved' only");
  if (models::cost_per_day(pool) == std::numeric_limits<models::Money>::max())
    return section.wrong("price_per_hour", "makes the reservation dearer than can be counted");
  return pool;
}

models::PoolEntry own_pool(const std::string& provider, const CallConfig& calls) {
  models::PoolEntry pool;
  pool.name = pool.provider = provider;
  pool.max_in_flight = calls.max_in_flight;
  pool.requests_per_minute = calls.requests_per_minute;
  pool.tokens_per_minute = calls.tokens_per_minute;
  return pool;
}

}  // namespace perdure::app
