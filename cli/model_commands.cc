#include "cli/model_commands.h"

#include <fmt/format.h>

#include <set>

#include "cli/exit_code.h"
#include "cli/output.h"
#include "cli/printing.h"

namespace perdure::cli {
namespace {

bool is_given(const json::object& object, std::string_view key) {
  const json::value* value = find(object, key);
  return value && !value->is_null();
}

/// Of a model's tokens in a pool. `by_hour`: the pool is paid by the hour.
std::string price_text(const json::object& pool, bool by_hour) {
  if (!is_given(pool, "price")) return "no price";
  const json::object& price = get_object(pool, "price");
  const std::string input = text_of(price, "input");
  std::string text = fmt::format("${} in", input);
  bool free = input == "0.00";
  const auto add = [&](std::string_view key, std::string_view words) {
    const std::string one = text_of(price, key);
    free = free && one == "0.00";
    if (key == "output" || one != input) text += fmt::format(", ${} {}", one, words);
  };
  add("cached_input", "cached");
  add("cache_write", "cache write");
  add("output", "out");
  if (!free) return text;
  return by_hour ? "by the hour" : "free";
}

void add_model(std::vector<TableRow>& rows, const std::string& name, const json::object& model,
               const std::set<std::string>& by_hour) {
  for (const json::value& value : get_array(model, "pools")) {
    const json::object& pool = value.get_object();
    const std::string pool_name = text_of(pool, "name");
    rows.push_back({name, pool_name, text_of(pool, "provider"),
                    is_given(pool, "context_window")
                        ? fmt::format("{}", get_int(pool, "context_window"))
                        : "unknown",
                    price_text(pool, by_hour.contains(pool_name))});
  }
}

}  // namespace

int show_models(const CommonFlags& flags, const app::Environment& environment) {
  const auto client = ApiClient::connect(flags.server, environment);
  if (!client) return report(client.error());
  const auto answer = client->call("GET", "/api/models");
  if (!answer) return report(answer.error());
  if (flags.json) return print_json(*answer);
  const json::object& capacity = answer->get_object();
  std::set<std::string> by_hour;
  std::vector<TableRow> pools, reservations;
  for (const json::value& value : get_array(capacity, "pools")) {
    const json::object& pool = value.get_object();
    const json::object& recent = get_object(pool, "last_minute");
    const std::string name = text_of(pool, "name");
    pools.push_back({name, text_of(pool, "class"), text_of(pool, "state"),
                     fmt::format("{}", get_int(pool, "in_flight")),
                     fmt::format("{}", get_int(pool, "waiting")),
                     fmt::format("{}/{}", get_int(recent, "failures"), get_int(recent, "calls")),
                     text_of(get_object(pool, "last_error"), "message")});
    const bool has_price = is_given(pool, "price_per_hour");
    if (has_price) by_hour.insert(name);
    if (!has_price && !is_given(pool, "units")) continue;
    const auto dollars = [&](std::string_view key) {
      return has_price ? "$" + text_of(pool, key) : std::string("no price");
    };
    reservations.push_back({name, fmt::format("{}", get_int(pool, "units", 1)),
                            dollars("price_per_hour"), dollars("cost_per_day")});
  }
  std::vector<TableRow> models;
  for (const json::value& value : get_array(capacity, "models"))
    add_model(models, text_of(value.get_object(), "name"), value.get_object(), by_hour);
  if (is_given(capacity, "unknown_models"))
    add_model(models, "(any other)", get_object(capacity, "unknown_models"), by_hour);
  if (!models.empty())
    fmt::print("{}\n",
               table({"MODEL", "POOL", "PROVIDER", "WINDOW", "PRICE OF A MILLION TOKENS"}, models));
  if (!reservations.empty())
    fmt::print("{}\n", table({"RESERVATION", "UNITS", "A UNIT'S HOUR", "A DAY"}, reservations));
  fmt::print(
      "{}", table({"POOL", "CLASS", "STATE", "RUNNING", "WAITING", "FAILED", "LAST ERROR"}, pools));
  return kDone;
}

}  // namespace perdure::cli
