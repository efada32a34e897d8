#include "facades/admin/budget_wire.h"

#include <fmt/format.h>

#include "base/decimal.h"
#include "facades/admin/requests.h"
#include "models/price.h"

namespace perdure::facades::admin {
namespace {

using journal::Budget;
using journal::Money;

/// The limit of a budget's body, in nano-dollars.
Result<Money> read_limit(const JsonObject& body) {
  const auto nano = body.find_value("limit_nano");
  const auto dollars = body.find_value("limit_dollars");
  if (nano.has_value() == dollars.has_value())
    return wrong("Give the limit as either limit_dollars or limit_nano.", "limit_dollars");
  if (nano) return read_integer(*nano, 0);
  // As a number or as text: its digits are read, never a rounded number.
  std::string text(dollars->raw);
  if (dollars->kind() == JsonKind::kString) {
    TRY(read, read_string(*dollars));
    text = std::move(read);
  }
  const auto money = parse_decimal(text, models::kMoneyPlaces);
  if (!money || *money < 0)
    return wrong(
        "limit_dollars must be a decimal number of at least 0 with at most nine places, "
        "such as 12.50.",
        "limit_dollars");
  return *money;
}

}  // namespace

void write_money(ObjectWriter& writer, std::string_view name, Money money) {
  writer.number(fmt::format("{}_nano", name), money);
  writer.text(fmt::format("{}_dollars", name), format_decimal(money, models::kMoneyPlaces, 2));
}

void append_budget(std::string& out, const Budget& budget) {
  ObjectWriter writer(out);
  writer.text("scope", to_string(budget.scope))
      .text("id", budget.id)
      .text("project", budget.project.value)
      .text("window", to_string(budget.window))
      .number("created_at", budget.created / 1000);
  if (budget.window == journal::BudgetWindow::kTotal)
    writer.null("window_began_at");
  else
    writer.number("window_began_at", budget.window_began / 1000);
  write_money(writer, "limit", budget.limit);
  write_money(writer, "spent", budget.spent);
  write_money(writer, "reserved", budget.reserved);
  write_money(writer, "left", budget.left());
  writer.end();
}

Result<void> read_budget(const JsonObject& body, Budget* budget) {
  TRY_VOID(body.allow({"limit_dollars", "limit_nano", "window"}));
  TRY(limit, read_limit(body));
  budget->limit = limit;
  if (const auto field = body.find_value("window")) {
    TRY(word, read_choice(*field, {"total", "day", "month"}));
    budget->window = *journal::parse_budget_window(word);
  }
  return {};
}

}  // namespace perdure::facades::admin
