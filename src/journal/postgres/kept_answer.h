// The answer kept for a repeated request, as parts of a statement: the guard that looks for one,
// and the row that keeps one. A statement that uses them has a part named `guard` with a row where
// all its guards passed.
#pragma once

#include <string>
#include <string_view>

#include "journal/journal.h"
#include "journal/postgres/statement.h"

namespace perdure::journal::postgres {

/// For a part named `kept`: has a row where an unexpired answer is kept.
std::string find_kept(Statement* q, const IdempotencyScope& scope, std::string_view now);
/// For a part named `answer`: keeps it. Gives a row, or none where another node was faster.
std::string keep(Statement* q, const IdempotencyRecord& record, std::string_view now);
/// The outcome 'done' of a statement that kept an answer. Another node may have kept one between
/// our look and our write: then the division fails the transaction, and the repetition sees it.
inline constexpr std::string_view kDoneWithAnswer =
    "repeat('done', (1 / (SELECT count(*) FROM answer))::integer)";

}  // namespace perdure::journal::postgres
