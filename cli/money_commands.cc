#include "cli/money_commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "cli/exit_code.h"
#include "cli/output.h"
#include "cli/pages.h"
#include "cli/printing.h"

namespace perdure::cli {
namespace {

std::string money_of(const json::object& object, std::string_view name) {
  return "$" + text_of(object, fmt::format("{}_dollars", name));
}

bool is_given(const json::object& object, std::string_view name) {
  const json::value* value = find(object, name);
  return value && !value->is_null();
}

std::string number_of(const json::object& object, std::string_view key) {
  return std::to_string(get_int(object, key));
}

const TableRow kCountHeadings = {"CALLS", "INPUT", "CACHED", "OUTPUT", "COST", "ESTIMATED"};

void add_counts(TableRow& row, const json::object& counts) {
  for (std::string_view key : {"model_calls", "input_tokens", "cached_tokens", "output_tokens"})
    row.push_back(number_of(counts, key));
  const std::int64_t unpriced = get_int(counts, "unpriced_calls");
  row.push_back(
      unpriced == 0 ? money_of(counts, "cost")
      : unpriced == get_int(counts, "model_calls")
          ? std::string("no price")
          : fmt::format("{} + {} calls without a price", money_of(counts, "cost"), unpriced));
  row.push_back(money_of(counts, "estimated_cost"));
}

std::string budget_path(const BudgetFlags& budget) {
  return fmt::format("/api/budgets/{}/{}", percent_encoded(budget.scope),
                     percent_encoded(budget.id));
}

}  // namespace

int show_usage(const CommonFlags& flags, const app::Environment& environment,
               const std::optional<std::string>& project, const UsageFlags& usage) {
  const auto client = ApiClient::connect(flags.server, environment);
  if (!client) return report(client.error());
  std::string path = with_parameter("/api/usage", "project", project);
  path = with_parameter(path, "from", usage.from);
  path = with_parameter(path, "to", usage.to);
  path = with_parameter(path, "group_by", usage.group_by);
  const auto rows = all_pages(*client, path, {});
  if (!rows) return report(rows.error());
  if (flags.json) return print_json(json::object{{"data", *rows}});
  if (rows->empty()) {
    fmt::print("No model call has ended.\n");
    return kDone;
  }
  TableRow heading;
  for (std::string_view rest = usage.group_by; !rest.empty();) {
    heading.emplace_back(rest.substr(0, rest.find(',')));
    rest.remove_prefix(std::min(heading.back().size() + 1, rest.size()));
  }
  const TableRow names = heading;
  for (std::string& word : heading)
    for (char& letter : word) letter = letter >= 'a' && letter <= 'z' ? letter - 32 : letter;
  heading.insert(heading.end(), kCountHeadings.begin(), kCountHeadings.end());
  std::vector<TableRow> table_rows;
  for (const json::value& value : *rows) {
    const json::object& counts = value.get_object();
    TableRow row;
    for (const std::string& name : names)
      row.push_back(is_given(counts, name) ? text_of(counts, name) : "-");
    add_counts(row, counts);
    table_rows.push_back(std::move(row));
  }
  fmt::print("{}", table(heading, table_rows));
  return kDone;
}

int show_session_usage(const CommonFlags& flags, const app::Environment& environment,
                       const std::string& id) {
  const auto client = ApiClient::connect(flags.server, environment);
  if (!client) return report(client.error());
  const std::string path = fmt::format("/api/sessions/{}/usage", percent_encoded(id));
  auto session = client->call("GET", path);
  if (!session) return report(session.error());
  auto turns = all_pages(*client, path, "turn");
  if (!turns) return report(turns.error());
  json::object& view = session->get_object();
  if (flags.json) {
    view["data"] = *turns;
    view["has_more"] = false;
    return print_json(*session);
  }
  fmt::print("spent {}, reserved {}, limit {}\n", money_of(view, "spent"),
             money_of(view, "reserved"),
             is_given(view, "limit_dollars") ? money_of(view, "limit") : "none");
  TableRow heading = {"TURN", "CREATED (UTC)"};
  heading.insert(heading.end(), kCountHeadings.begin(), kCountHeadings.end());
  std::vector<TableRow> rows;
  for (const json::value& value : *turns) {
    const json::object& turn = value.get_object();
    TableRow row = {text_of(turn, "turn"), date_and_time(get_int(turn, "created_at"))};
    add_counts(row, turn);
    rows.push_back(std::move(row));
  }
  fmt::print("{}", table(heading, rows));
  return kDone;
}

int list_budgets(const CommonFlags& flags, const app::Environment& environment,
                 const std::optional<std::string>& project) {
  const auto client = ApiClient::connect(flags.server, environment);
  if (!client) return report(client.error());
  const auto budgets = client->call("GET", with_parameter("/api/budgets", "project", project));
  if (!budgets) return report(budgets.error());
  if (flags.json) return print_json(*budgets);
  const json::array& data = get_array(budgets->get_object(), "data");
  if (data.empty()) {
    fmt::print("There are no budgets. Set one with 'perdure budgets set'.\n");
    return kDone;
  }
  std::vector<TableRow> rows;
  for (const json::value& value : data) {
    const json::object& budget = value.get_object();
    rows.push_back({text_of(budget, "scope"), text_of(budget, "id"), text_of(budget, "window"),
                    money_of(budget, "limit"), money_of(budget, "spent"),
                    money_of(budget, "reserved"), money_of(budget, "left")});
  }
  fmt::print("{}", table({"SCOPE", "ID", "WINDOW", "LIMIT", "SPENT", "RESERVED", "LEFT"}, rows));
  return kDone;
}

int set_budget(const CommonFlags& flags, const app::Environment& environment,
               const std::optional<std::string>& project, const BudgetFlags& budget) {
  const auto client = ApiClient::connect(flags.server, environment);
  if (!client) return report(client.error());
  const auto made = client->call(
      "PUT", with_parameter(budget_path(budget), "project", project),
      perdure::serialize(json::object{{"limit_dollars", budget.limit}, {"window", budget.window}}));
  if (!made) return report(made.error());
  if (flags.json) return print_json(*made);
  const json::object& view = made->get_object();
  fmt::print("The budget of {} {} is {} ({}), {} are left.\n", budget.scope, budget.id,
             money_of(view, "limit"), text_of(view, "window"), money_of(view, "left"));
  return kDone;
}

int remove_budget(const CommonFlags& flags, const app::Environment& environment,
                  const std::optional<std::string>& project, const BudgetFlags& budget) {
  const auto client = ApiClient::connect(flags.server, environment);
  if (!client) return report(client.error());
  const auto removed =
      client->call("DELETE", with_parameter(budget_path(budget), "project", project));
  if (!removed) return report(removed.error());
  if (flags.json) return print_json(*removed);
  fmt::print("{} {} has no budget any more.\n", budget.scope, budget.id);
  return kDone;
}

}  // namespace perdure::cli
