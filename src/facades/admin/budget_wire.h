// Money and budgets as the server's own API reads and writes them: exactly, as nano-dollars and as
// text. Pure functions.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "facades/common/json_reader.h"
#include "facades/common/json_writer.h"
#include "journal/spend.h"

namespace perdure::facades::admin {

/// NAME_nano and NAME_dollars.
void write_money(ObjectWriter& writer, std::string_view name, journal::Money money);
void append_budget(std::string& out, const journal::Budget& budget);

/// `limit_dollars` or `limit_nano`, and `window`; other members are refused.
Result<void> read_budget(const JsonObject& body, journal::Budget* budget);

}  // namespace perdure::facades::admin
