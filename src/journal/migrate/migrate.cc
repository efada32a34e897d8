#include "journal/migrate/migrate.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/bytes.h"
#include "base/planted_bug.h"
#include "journal/migrate/limits.h"
#include "journal/migrate/postgres_store.h"
#include "journal/migrate/sqlite_store.h"

namespace perdure::journal::migrate {
namespace {

constexpr std::size_t kIdLength = 26;

Result<std::unique_ptr<Store>> open_place(const Place& place, bool must_exist,
                                          Cancellation& cancellation, Env& env) {
  if (!place.directory.empty()) {
    TRY(store, SqliteStore::open(place.directory, place.vfs, must_exist, env));
    return store;
  }
  const auto durability = place.durability_of_database ? postgres::Durability::kAsDatabase
                                                       : postgres::Durability::kFull;
  TRY(store, PostgresStore::open(place.url, durability, must_exist, cancellation.interrupt(), env));
  return store;
}

/// Calls `each` with every chunk of the table, in order.
template <class Each>
Result<void> for_each_chunk(Store& store, const Table& table, std::string_view step,
                            const Options& options, const Cancellation& cancellation, Each each) {
  Progress progress{.step = step, .table = table.name};
  Record last;
  for (;;) {
    if (cancellation.raised()) return fail(ErrorCode::kCancelled, "Interrupted.");
    TRY(records, store.read(table, last.empty() ? nullptr : &last));
    if (records.empty()) return {};
    progress.rows += records.size();
    for (const Record& record : records) progress.bytes += size_of(record);
    TRY_VOID(each(records));
    if (options.progress) options.progress(progress);
    last = std::move(records.back());
  }
}

void append_number(std::string& out, std::uint64_t number) {
  for (int shift = 56; shift >= 0; shift -= 8) out.push_back(static_cast<char>(number >> shift));
}

/// Different records, of a table's shape, give different bytes.
void append_record(std::string& out, const Record& record) {
  for (const Value& value : record) {
    out.push_back(static_cast<char>(value.index()));
    if (const auto* number = std::get_if<std::int64_t>(&value)) {
      append_number(out, static_cast<std::uint64_t>(*number));
    } else if (const auto* bytes = std::get_if<std::string>(&value)) {
      append_number(out, bytes->size());
      out += *bytes;
    }
  }
}

const Table* find_table(const std::vector<Table>& tables, std::string_view name) {
  const auto found = std::ranges::find(tables, name, &Table::name);
  return found == tables.end() ? nullptr : &*found;
}

/// Both engines know the same tables and columns, or somebody else's tables lie beside ours.
Result<void> check_same_tables(Store& from, const std::vector<Table>& left, Store& to,
                               const std::vector<Table>& right) {
  const auto check_names = [](const std::vector<Table>& of, const std::vector<Table>& other,
                              Store& store) -> Result<void> {
    for (const Table& table : of)
      if (!find_table(other, table.name))
        return fail(ErrorCode::kConflict,
                    fmt::format("{} holds tables of another program ({}). Give Perdure a database "
                                "or a schema of its own.",
                                store.name(), table.name));
    return {};
  };
  TRY_VOID(check_names(left, right, from));
  TRY_VOID(check_names(right, left, to));
  for (std::size_t i = 0; i < left.size(); ++i)
    if (!(left[i] == right[i]))
      return fail(ErrorCode::kInternal,
                  fmt::format("the table {} of {} and {} have different columns", left[i].name,
                              from.name(), to.name()));
  return {};
}

bool is_made_by_opening(const Table& table, const Record& record, const Options& options) {
  const auto text = [&](std::string_view name) -> std::string {
    for (std::size_t i = 0; i < table.columns.size(); ++i)
      if (table.columns[i].name == name)
        if (const auto* bytes = std::get_if<std::string>(&record[i])) return *bytes;
    return {};
  };
  return table.name == "resource" &&
         std::ranges::any_of(options.made_by_opening, [&](const RowName& row) {
           return text("kind") == row.kind && text("id") == row.id;
         });
}

/// "session: 2 rows, journal: 12 rows": nothing where there is nothing.
Result<std::string> contents(Store& store, const std::vector<Table>& tables,
                             const Options& options) {
  std::string list;
  for (const Table& table : tables) {
    TRY(records, store.read(table, nullptr));
    const std::size_t first_read = records.size();
    std::erase_if(records,
                  [&](const Record& record) { return is_made_by_opening(table, record, options); });
    if (records.empty()) continue;
    list += fmt::format("{}{}{} in '{}'", list.empty() ? "" : ", ",
                        first_read == kChunkRows ? "at least " : "", records.size(), table.name);
  }
  return list;
}

Result<void> compare(const std::vector<TableSummary>& from, const std::vector<TableSummary>& to) {
  for (std::size_t i = 0; i < from.size(); ++i)
    if (!(from[i] == to[i]))
      return fail(ErrorCode::kInternal,
                  from[i].rows == to[i].rows
                      ? fmt::format("The copy of '{}' is not like the source.", from[i].name)
                      : fmt::format("The copy of '{}' has {} rows, the source {}.", from[i].name,
                                    to[i].rows, from[i].rows));
  return {};
}

struct Found {
  std::vector<Table> tables;
  Origin origin;
  std::string unfinished;  ///< the migration between these two that died before its last commit
};

/// Whether one may become the other.
Result<Found> examine(Store& from, Store& to, const Options& options) {
  TRY(source_marks, from.marks());
  TRY(target_marks, to.marks());
  Found found;
  const std::optional<Mark>&half = target_marks.migrating, &gone = source_marks.moved_to;
  if (half && gone && half->id == gone->id) found.unfinished = gone->id;
  // What has moved may still be copied by who says so: as a backup is read.
  if (!found.unfinished.empty() || options.keep_source) source_marks.moved_to.reset();
  TRY_VOID(refuse_marked(source_marks, from.name()));
  if (target_marks.moved_to)
    return fail(ErrorCode::kConflict,
                fmt::format("{} is not empty: it holds what was moved to {}. Put that away first, "
                            "or name an empty store.",
                            to.name(), target_marks.moved_to->store));

  TRY(tables, from.tables());
  TRY(target_tables, to.tables());
  TRY_VOID(check_same_tables(from, tables, to, target_tables));
  TRY(origin, from.origin());
  if (target_marks.migrating) {
    TRY(begun, to.origin());
    if (begun.secret != origin.secret)
      return fail(ErrorCode::kConflict,
                  fmt::format("{} holds an unfinished copy of another store, {}. Finish that "
                              "migration, or name an empty store.",
                              to.name(), target_marks.migrating->store));
  } else {
    TRY(rows, contents(to, tables, options));
    if (!rows.empty())
      return fail(
          ErrorCode::kConflict,
          fmt::format("{} is not empty: it holds {}. Name an empty store.", to.name(), rows));
  }
  if (planted("migrate-loses-table"))
    std::erase_if(tables, [](const Table& table) { return table.name == "effect"; });
  found.tables = std::move(tables);
  found.origin = std::move(origin);
  return found;
}

/// `error` with what is true of the stores now.
std::unexpected<Error> with_state(Error error, std::string state) {
  error.message += " " + std::move(state);
  return std::unexpected(std::move(error));
}

/// Everything that comes before the source is marked.
Result<std::vector<TableSummary>> copy(Store& from, Store& to, const std::vector<Table>& tables,
                                       const Options& options, const Cancellation& cancellation) {
  for (const Table& table : tables)
    TRY_VOID(for_each_chunk(
        from, table, "copied", options, cancellation,
        [&](const std::vector<Record>& records) { return to.write(table, records); }));
  TRY(there, summarise(from, tables, options, cancellation));
  TRY(here, summarise(to, tables, options, cancellation));
  TRY_VOID(compare(there, here));
  if (cancellation.raised()) return fail(ErrorCode::kCancelled, "Interrupted.");
  return here;
}

}  // namespace

Result<std::unique_ptr<Store>> open_source(const Place& place, Cancellation& cancellation,
                                           Env& env) {
  return open_place(place, true, cancellation, env);
}

Result<std::unique_ptr<Store>> open_target(const Place& place, Cancellation& cancellation,
                                           Env& env) {
  return open_place(place, false, cancellation, env);
}

Result<std::vector<TableSummary>> summarise(Store& store, const std::vector<Table>& tables,
                                            const Options& options,
                                            const Cancellation& cancellation) {
  std::vector<TableSummary> summaries;
  summaries.reserve(tables.size());
  for (const Table& table : tables) {
    TableSummary& summary = summaries.emplace_back(TableSummary{.name = table.name});
    Digest digest{};
    std::string bytes;
    TRY_VOID(for_each_chunk(store, table, "compared", options, cancellation,
                            [&](const std::vector<Record>& records) -> Result<void> {
                              for (const Record& record : records) {
                                bytes.assign(as_view(digest));
                                append_record(bytes, record);
                                digest = sha256(bytes);
                                ++summary.rows;
                                summary.bytes += size_of(record);
                              }
                              return {};
                            }));
    summary.digest = to_hex(as_view(digest));
  }
  return summaries;
}

Result<Summary> move(Store& from, Store& to, const Options& options,
                     const Cancellation& cancellation, Env& env) {
  // Looked at first: who named the wrong store has not disturbed its server.
  TRY_VOID(examine(from, to, options));
  TRY_VOID(from.hold());
  TRY_VOID(to.hold());
  TRY(found, examine(from, to, options));

  const UnixMillis now = env.now();
  const std::string id = found.unfinished.empty() ? env.random_token(kIdLength) : found.unfinished;
  const std::string half = fmt::format(
      "{} is {}. {} is half copied, and no server opens it: the same command again starts over.",
      from.name(), found.unfinished.empty() ? "as it was" : "complete", to.name());
  // A commit that failed may have been made all the same.
  if (auto begun = to.begin_copy(found.tables, {.id = id, .store = from.name(), .time = now},
                                 found.origin.secret);
      !begun)
    return with_state(begun.error(), half);
  auto copied = copy(from, to, found.tables, options, cancellation);
  if (!copied) return with_state(copied.error(), half);
  const auto uncertain = [&](const Store& store) {
    return fmt::format(
        "Everything is copied, but whether {} knows that is not certain. Run the same command "
        "again: it finishes, or says that {} has moved or {} is not empty; then it was done.",
        store.name(), from.name(), to.name());
  };
  if (planted("migrate-unmarks-early")) TRY_VOID(to.end_copy(found.origin));
  if (options.keep_source) {
    // What another process wrote meanwhile would be missing in the copy.
    if (auto held = from.check_held(); !held) return with_state(held.error(), half);
  } else if (found.unfinished.empty()) {
    if (auto moved = from.mark_moved({.id = id, .store = to.name(), .time = now}); !moved)
      return with_state(moved.error(), uncertain(from));
  }
  if (auto ended = to.end_copy(found.origin); !ended)
    return with_state(ended.error(), uncertain(to));
  return Summary{.from = from.name(),
                 .to = to.name(),
                 .kept_source = options.keep_source,
                 .tables = std::move(*copied)};
}

}  // namespace perdure::journal::migrate
