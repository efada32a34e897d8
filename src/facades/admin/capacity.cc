#include "facades/admin/capacity.h"

#include "base/decimal.h"
#include "facades/common/json_writer.h"

namespace perdure::facades::admin {
namespace {

void append_limit(ObjectWriter& writer, std::string_view key, std::int64_t limit) {
  if (limit > 0)
    writer.number(key, limit);
  else
    writer.null(key);
}

std::string dollars(models::Money money) {
  return format_decimal(money, models::kMoneyPlaces, 2);
}

void append_price(ObjectWriter& writer, const std::optional<models::Price>& price) {
  if (!price) {
    writer.null("price");
    return;
  }
  auto per_million = [](std::int64_t pico) {
    return format_decimal(pico, models::kPricePlaces, 2);
  };
  ObjectWriter(writer.begin("price"))
      .text("input", per_million(price->input))
      .text("cached_input", per_million(price->cached_input))
      .text("cache_write", per_million(price->cache_write))
      .text("output", per_million(price->output))
      .end();
}

/// The pools that may answer for a model, and what holds for it there.
void append_pools_of(ObjectWriter& writer, const models::Resolved& resolved) {
  append_array(writer.begin("pools"), resolved.pools,
               [&](std::string& out, const models::ResolvedPool& pool) {
                 ObjectWriter one(out);
                 one.text("name", pool.entry->name).text("provider", pool.entry->provider);
                 // Empty for a name that is not known: it goes as it is.
                 const std::string& upstream = resolved.upstream_in(*pool.entry);
                 if (upstream.empty())
                   one.null("upstream");
                 else
                   one.text("upstream", upstream);
                 append_limit(one, "context_window", resolved.window_in(*pool.entry));
                 append_price(one, pool.price);
                 one.end();
               });
}

void append_pool(std::string& out, const models::PoolStatus& status) {
  const models::PoolEntry& entry = *status.entry;
  ObjectWriter writer(out);
  writer.text("name", entry.name)
      .text("provider", entry.provider)
      .text("class", models::to_string(entry.pool_class))
      .number("priority", entry.priority)
      .number("weight", entry.weight)
      .text("state", status.state)
      .text("breaker", status.breaker)
      .number("back_in_ms", status.back_in_ms)
      .number("in_flight", status.in_flight)
      .number("waiting", status.waiting);
  append_limit(writer, "max_in_flight", entry.max_in_flight);
  append_limit(writer, "requests_per_minute", entry.requests_per_minute);
  append_limit(writer, "tokens_per_minute", entry.tokens_per_minute);
  if (entry.units > 0) writer.number("units", entry.units);
  if (entry.price_per_hour) writer.text("price_per_hour", dollars(*entry.price_per_hour));
  if (auto cost = cost_per_day(entry)) writer.text("cost_per_day", dollars(*cost));
  ObjectWriter(writer.begin("last_minute"))
      .number("calls", status.recent_calls)
      .number("failures", status.recent_failures)
      .end();
  ObjectWriter(writer.begin("since_start"))
      .number("calls", static_cast<std::int64_t>(status.calls))
      .number("failures", static_cast<std::int64_t>(status.failures))
      .number("rate_limited", static_cast<std::int64_t>(status.rate_limited))
      .number("turned_away", static_cast<std::int64_t>(status.turned_away))
      .end();
  if (status.last_error_code.empty())
    writer.null("last_error");
  else
    ObjectWriter(writer.begin("last_error"))
        .text("code", status.last_error_code)
        .text("message", status.last_error)
        .number("at", status.last_error_at / 1000)
        .end();
  writer.end();
}

}  // namespace

std::string capacity_text(const Capacity& capacity) {
  std::string text;
  ObjectWriter writer(text);
  append_array(writer.begin("models"), capacity.models, [](std::string& out, const auto& model) {
    ObjectWriter one(out);
    one.text("name", model.name);
    append_limit(one, "max_output_tokens", model.resolved.max_output_tokens);
    append_pools_of(one, model.resolved);
    one.end();
  });
  if (capacity.unknown) {
    ObjectWriter unknown(writer.begin("unknown_models"));
    append_pools_of(unknown, *capacity.unknown);
    unknown.end();
  } else {
    writer.null("unknown_models");
  }
  append_array(writer.begin("pools"), capacity.pools, append_pool);
  writer.end();
  return text;
}

}  // namespace perdure::facades::admin
