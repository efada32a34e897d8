#include "journal/postgres/kept_answer.h"

#include <fmt/format.h>

namespace perdure::journal::postgres {

std::string find_kept(Statement* q, const IdempotencyScope& scope, std::string_view now) {
  std::string project = q->text(scope.project.value), principal = q->text(scope.principal);
  std::string route = q->text(scope.route), key = q->bytes(scope.key);
  return fmt::format(
      "SELECT FROM idempotency WHERE project = {} AND principal = {} AND route = {} AND key = {} "
      "AND expires > {}",
      project, principal, route, key, now);
}

std::string keep(Statement* q, const IdempotencyRecord& record, std::string_view now) {
  std::string row = q->text(record.scope.project.value);
  for (const std::string& value :
       {q->text(record.scope.principal), q->text(record.scope.route), q->bytes(record.scope.key),
        q->bytes(record.request_hash), q->number(std::int64_t{record.status}),
        q->bytes(record.body), q->text(record.session), q->number(record.expires)})
    row += ", " + value;
  // A record that is there has expired, or the guard had not passed.
  return fmt::format(
      "INSERT INTO idempotency (project, principal, route, key, request_hash, status, body, "
      "session, expires) SELECT {} FROM guard ON CONFLICT (project, principal, route, key) "
      "DO UPDATE SET request_hash = excluded.request_hash, status = excluded.status, "
      "body = excluded.body, session = excluded.session, expires = excluded.expires "
      "WHERE idempotency.expires <= {} RETURNING 1",
      row, now);
}

}  // namespace perdure::journal::postgres
