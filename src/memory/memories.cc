#include "memory/memories.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "base/json.h"
#include "memory/limits.h"

namespace perdure::memory {
namespace {

constexpr std::string_view kStoreRow = "memory_store";
constexpr std::string_view kReceiptRow = "memory_receipt";

std::string to_body(const Store& store) {
  json::object body{{"v", 1},
                    {"created", store.created},
                    {"description", store.description},
                    {"language", store.language},
                    {"records_written", store.records_written},
                    {"erasures", store.erasures},
                    {"newest", store.newest}};
  if (store.workstream) body["workstream"] = *store.workstream;
  return serialize(body);
}

Result<Store> store_from(const journal::Row& row) {
  TRY(value, parse_json(row.body));
  if (!value.is_object() || get_int(value.get_object(), "v") != 1)
    return fail(
        ErrorCode::kInternal,
        fmt::format("the memory store '{}' is damaged, or was written by a newer program", row.id));
  const json::object& body = value.get_object();
  Store store{.name = row.id,
              .version = row.version,
              .created = get_int(body, "created", row.created),
              .description = std::string(get_string(body, "description")),
              .language = std::string(get_string(body, "language", "english")),
              .workstream = {},
              .records_written = static_cast<std::uint64_t>(get_int(body, "records_written")),
              .erasures = static_cast<std::uint64_t>(get_int(body, "erasures")),
              .newest = get_int(body, "newest")};
  if (const auto name = get_string(body, "workstream"); !name.empty()) store.workstream = name;
  return store;
}

/// Ids of one store grow with its records; no two stores share one, nor does a later one of a name.
std::string record_id(const ProjectId& project, const Store& store, std::uint64_t number) {
  constexpr std::size_t kTagDigits = 10;
  const std::string of =
      fmt::format("memory\n{}\n{}\n{}", project.value, store.name, store.created);
  return fmt::format("mem_{}{:010x}", to_hex(as_view(sha256(of))).substr(0, kTagDigits), number);
}

/// Half a name must not reach what begins with it.
Result<void> check_namespace(std::string_view text) {
  if (is_namespace(text)) return {};
  return fail(ErrorCode::kInvalidArgument,
              "A namespace is '/', or names between slashes, such as '/users/ann/'.", "namespace");
}

std::unexpected<Error> no_such_record() {
  return fail(ErrorCode::kNotFound, "There is no such memory record.");
}

std::unexpected<Error> no_such_store() {
  return fail(ErrorCode::kNotFound, "There is no such memory store.");
}

bool others_were_faster(const Error& error) {
  return error.code == ErrorCode::kConflict || error.code == ErrorCode::kNotFound;
}

journal::Row row_of(const ProjectId& project, const Store& store) {
  return {.project = project,
          .kind = std::string(kStoreRow),
          .id = store.name,
          .parent = {},
          .created = store.created,
          .body = to_body(store)};
}

}  // namespace

struct Memories::State {
  State(async::Executor executor, std::string store)
      : permit(std::move(executor), 1), name(std::move(store)) {}
  async::FifoSemaphore permit;
  std::string name;
  Store store;  ///< as the index has it; version 0: not read yet
  std::unique_ptr<Analyzer> analyzer;
  std::unique_ptr<StoreIndex> index;
  std::optional<std::string> last;  ///< the newest record that the index has
};

std::string Receipt::payload() const {
  return serialize(json::object{{"id", id},
                                {"store", store},
                                {"time", time},
                                {"hashes", json::array(hashes.begin(), hashes.end())}});
}

Memories::Memories(Env& env, async::Executor executor, journal::JournalStore& store,
                   std::string secret, Scrub scrub)
    : env_(env),
      executor_(std::move(executor)),
      store_(store),
      secret_(std::move(secret)),
      scrub_(std::move(scrub)) {}
Memories::~Memories() = default;

// ---- stores -------------------------------------------------------------------------------------

Task<Result<Store>> Memories::read_store(ProjectId project, std::string name) {
  auto row = co_await store_.get_row(std::move(project), std::string(kStoreRow), std::move(name));
  if (row) co_return store_from(*row);
  if (row.error().code == ErrorCode::kNotFound) co_return no_such_store();
  co_return std::unexpected(std::move(row).error());
}

Task<Result<Store>> Memories::create(ProjectId project, Store draft) {
  if (!is_workstream_id(draft.name))
    co_return fail(ErrorCode::kInvalidArgument,
                   "The name of a store has 1 to 64 letters, digits, _ and -.", "name");
  CO_TRY_VOID(Analyzer::make(draft.language));
  draft.created = env_.now();
  journal::Row row = row_of(project, draft);
  auto version = co_await store_.put_row(std::move(row), 0);
  if (!version && version.error().code == ErrorCode::kConflict)
    co_return fail(ErrorCode::kConflict, fmt::format("A memory store '{}' exists.", draft.name),
                   "name");
  if (!version) co_return std::unexpected(std::move(version).error());
  draft.version = *version;
  co_return draft;
}

Task<Result<Store>> Memories::find(ProjectId project, std::string name) {
  co_return co_await read_store(std::move(project), std::move(name));
}

Task<Result<std::vector<Store>>> Memories::list(ProjectId project) {
  std::vector<Store> stores;
  journal::RowQuery query{.project = std::move(project),
                          .kind = std::string(kStoreRow),
                          .parent = {},
                          .after = {},
                          .limit = kRowsAtOnce,
                          .ascending = true};
  while (true) {
    CO_TRY(rows, co_await store_.list_rows(query));
    for (const journal::Row& row : rows) {
      CO_TRY(store, store_from(row));
      stores.push_back(std::move(store));
    }
    if (rows.size() < query.limit) co_return stores;
    query.after = rows.back().id;
  }
}

Task<Result<Committed>> Memories::remove(ProjectId project, std::string name) {
  State* state = state_of(project, name);
  const auto permit = co_await state->permit.acquire();
  CO_TRY(current, co_await caught_up(project, name));
  if (current->index->size() > 0)
    co_return fail(ErrorCode::kConflict, "The store has records. Erase them first.");
  // Another process may have written since; a store is removed by people, who do that seldom.
  CO_TRY(newest, co_await read_store(project, name));
  if (newest.version != current->store.version)
    co_return fail(ErrorCode::kConflict, "The store was written to just now.");
  auto removed = co_await store_.delete_row(project, std::string(kStoreRow), name);
  if (!removed && removed.error().code == ErrorCode::kNotFound) co_return no_such_store();
  state->store = {};
  co_return removed;
}

// ---- following the rows -------------------------------------------------------------------------

Memories::State* Memories::state_of(const ProjectId& project, const std::string& name) {
  auto& state = states_[{project.value, name}];
  if (!state) state = std::make_unique<State>(executor_, name);
  return state.get();
}

Task<Result<Memories::State*>> Memories::caught_up(ProjectId project, std::string name) {
  State* state = state_of(project, name);
  CO_TRY(newest, co_await read_store(project, name));
  const bool same = state->index && newest.created == state->store.created &&
                    newest.erasures == state->store.erasures;
  if (same && newest.version == state->store.version) co_return state;
  if (!same) {
    CO_TRY(analyzer, Analyzer::make(newest.language));
    state->index.reset();
    state->analyzer = std::move(analyzer);
    state->index = std::make_unique<StoreIndex>(state->analyzer.get());
    state->last.reset();
  }
  if (auto taken = co_await take_in(std::move(project), state); !taken) {
    state->index.reset();  // the next one begins anew
    co_return std::unexpected(std::move(taken).error());
  }
  state->store = std::move(newest);
  co_return state;
}

Task<Result<void>> Memories::take_in(ProjectId project, State* state) {
  journal::RowQuery query{.project = std::move(project),
                          .kind = std::string(kRecordRow),
                          .parent = state->name,
                          .after = state->last,
                          .limit = kRowsAtOnce,
                          .ascending = true};
  while (true) {
    CO_TRY(rows, co_await store_.list_rows(query));
    for (const journal::Row& row : rows) {
      CO_TRY(record, from_row(row));
      state->index->add(record);
      state->last = row.id;
    }
    if (rows.size() < query.limit) co_return Result<void>{};
    query.after = rows.back().id;
  }
}

// ---- records ------------------------------------------------------------------------------------

Result<void> Memories::check_links(const State& state, const Record& record) const {
  for (const auto* links : {&record.supersedes, &record.sources})
    for (const std::string& id : *links)
      if (!state.index->has(id))
        return fail(ErrorCode::kInvalidArgument,
                    fmt::format("There is no record '{}' in this store.", id.substr(0, 64)),
                    links == &record.supersedes ? "supersedes" : "sources");
  return {};
}

Task<Result<std::vector<Record>>> Memories::add(ProjectId project, std::string name,
                                                std::vector<Record> drafts, Trust claimed) {
  if (drafts.empty() || drafts.size() > kMaxBatch)
    co_return fail(ErrorCode::kInvalidArgument,
                   fmt::format("One write has 1 to {} records.", kMaxBatch), "records");
  State* state = state_of(project, name);
  const auto permit = co_await state->permit.acquire();
  for (int attempt = 1;; ++attempt) {
    CO_TRY(current, co_await caught_up(project, name));
    std::vector<Record> records = drafts;
    Store next = current->store;
    // A clock that was set back must not put a record before its predecessor.
    next.newest = std::max(env_.now(), current->store.newest);
    journal::RowChanges changes{.project = project};
    for (Record& record : records) {
      record.trust = trust_of(record, claimed);
      record.id = record_id(project, next, ++next.records_written);
      record.recorded = next.newest;
      if (record.confirmed == 0) record.confirmed = next.newest;
      CO_TRY_VOID(check(record));
      CO_TRY_VOID(check_links(*current, record));
      changes.puts.push_back({.row = {.project = project,
                                      .kind = std::string(kRecordRow),
                                      .id = record.id,
                                      .parent = name,
                                      .created = record.recorded,
                                      .body = to_body(record)},
                              .expected_version = 0});
    }
    changes.puts.push_back(
        {.row = row_of(project, next), .expected_version = current->store.version});
    auto written = co_await store_.write_rows(std::move(changes));
    if (written) {
      for (const Record& record : records) current->index->add(record);
      current->last = records.back().id;
      ++next.version;
      current->store = std::move(next);
      co_return records;
    }
    if (!others_were_faster(written.error()) || attempt == kWriteAttempts)
      co_return std::unexpected(std::move(written).error());
  }
}

Task<Result<Record>> Memories::record(ProjectId project, std::string name, std::string id) {
  auto row = co_await store_.get_row(std::move(project), std::string(kRecordRow), std::move(id));
  if (!row && row.error().code == ErrorCode::kNotFound) co_return no_such_record();
  if (!row) co_return std::unexpected(std::move(row).error());
  if (row->parent != name) co_return no_such_record();
  co_return from_row(*row);
}

Task<Result<std::vector<Record>>> Memories::records(ProjectId project, std::string name,
                                                    std::optional<std::string> after,
                                                    std::size_t limit) {
  if (after) CO_TRY_VOID(co_await record(project, name, *after));
  CO_TRY(rows, co_await store_.list_rows({.project = std::move(project),
                                          .kind = std::string(kRecordRow),
                                          .parent = std::move(name),
                                          .after = std::move(after),
                                          .limit = limit,
                                          .ascending = false}));
  std::vector<Record> records;
  for (const journal::Row& row : rows) {
    CO_TRY(one, from_row(row));
    records.push_back(std::move(one));
  }
  co_return records;
}

Task<Result<std::vector<Record>>> Memories::read_records(ProjectId project,
                                                         std::vector<std::string> ids) {
  std::vector<Record> records;
  for (std::string& id : ids) {
    auto row = co_await store_.get_row(project, std::string(kRecordRow), std::move(id));
    if (!row && row.error().code == ErrorCode::kNotFound) continue;  // erased since
    if (!row) co_return std::unexpected(std::move(row).error());
    CO_TRY(record, from_row(*row));
    records.push_back(std::move(record));
  }
  co_return records;
}

Task<Result<std::vector<FoundRecord>>> Memories::search(ProjectId project, std::string name,
                                                        Question question) {
  CO_TRY_VOID(check_namespace(question.namespace_));
  question.limit = std::min(question.limit, kMaxResults);
  std::vector<Hit> hits;
  std::vector<std::string> ids;
  {
    State* state = state_of(project, name);
    const auto permit = co_await state->permit.acquire();
    CO_TRY(current, co_await caught_up(project, name));
    hits = current->index->search(question, env_.now());
  }
  ids.reserve(hits.size());
  for (const Hit& hit : hits) ids.push_back(hit.id);
  CO_TRY(records, co_await read_records(std::move(project), std::move(ids)));
  std::vector<FoundRecord> found;
  auto hit = hits.begin();
  for (Record& record : records) {
    while (hit->id != record.id) ++hit;
    found.push_back({std::move(record), std::move(*hit)});
  }
  co_return found;
}

Task<Result<std::vector<Record>>> Memories::standing(ProjectId project, std::string name,
                                                     std::string namespace_) {
  CO_TRY_VOID(check_namespace(namespace_));
  std::vector<std::string> ids;
  {
    State* state = state_of(project, name);
    const auto permit = co_await state->permit.acquire();
    CO_TRY(current, co_await caught_up(project, name));
    ids = current->index->standing(namespace_, env_.now());
  }
  co_return co_await read_records(std::move(project), std::move(ids));
}

Task<Result<std::vector<std::string>>> Memories::with_metadata(ProjectId project, std::string name,
                                                               std::string namespace_,
                                                               std::string key, std::string value) {
  State* state = state_of(project, name);
  const auto permit = co_await state->permit.acquire();
  CO_TRY(current, co_await caught_up(project, name));
  co_return current->index->with_metadata(namespace_, key, value);
}

// ---- erasing ------------------------------------------------------------------------------------

Task<Result<Receipt>> Memories::erase(ProjectId project, std::string name, Selection selection) {
  if (!selection.namespace_.empty()) CO_TRY_VOID(check_namespace(selection.namespace_));
  State* state = state_of(project, name);
  const auto permit = co_await state->permit.acquire();
  Receipt receipt{
      .id = new_id("erasure", env_), .store = name, .time = 0, .hashes = {}, .signature = {}};
  for (int attempt = 1;;) {
    CO_TRY(current, co_await caught_up(project, name));
    std::set<std::string> chosen = current->index->closure(selection);
    const bool all = chosen.size() <= kErasedAtOnce;
    while (chosen.size() > kErasedAtOnce) chosen.erase(std::prev(chosen.end()));
    // What follows in a later transaction was selected as what these were made of, perhaps.
    selection.ids.insert(chosen.begin(), chosen.end());
    if (!all) {
      const auto whole = current->index->closure(selection);
      selection.ids.insert(whole.begin(), whole.end());
    }
    CO_TRY(records,
           co_await read_records(project, std::vector<std::string>(chosen.begin(), chosen.end())));
    std::vector<std::string> hashes = receipt.hashes;
    for (const Record& record : records)
      hashes.push_back(to_hex(as_view(sha256(record.id + '\n' + record.text))));
    Store next = current->store;
    ++next.erasures;
    journal::RowChanges changes{.project = project};
    for (const std::string& id : chosen) changes.deletes.push_back({std::string(kRecordRow), id});
    changes.puts.push_back(
        {.row = row_of(project, next), .expected_version = current->store.version});
    if (all) {
      receipt.time = env_.now();
      Receipt complete = receipt;
      complete.hashes = hashes;
      complete.signature = to_hex(as_view(hmac_sha256(secret_, complete.payload())));
      changes.puts.push_back(
          {.row = {.project = project,
                   .kind = std::string(kReceiptRow),
                   .id = receipt.id,
                   .parent = name,
                   .created = receipt.time,
                   .body = serialize(json::object{{"v", 1},
                                                  {"payload", complete.payload()},
                                                  {"signature", complete.signature}})},
           .expected_version = 0});
    }
    auto written = co_await store_.write_rows(std::move(changes));
    if (!written) {
      if (!others_were_faster(written.error()) || attempt++ == kWriteAttempts)
        co_return std::unexpected(std::move(written).error());
      continue;
    }
    current->index->erase(chosen);
    if (current->last && chosen.contains(*current->last)) current->index.reset();
    ++next.version;
    current->store = std::move(next);
    receipt.hashes = std::move(hashes);
    if (all) break;
  }
  receipt.signature = to_hex(as_view(hmac_sha256(secret_, receipt.payload())));
  // The rows are gone; now the files forget their bytes.
  if (scrub_) CO_TRY_VOID(co_await scrub_());
  co_return receipt;
}

Task<Result<Receipt>> Memories::receipt(ProjectId project, std::string id) {
  auto row = co_await store_.get_row(std::move(project), std::string(kReceiptRow), std::move(id));
  if (!row && row.error().code == ErrorCode::kNotFound)
    co_return fail(ErrorCode::kNotFound, "There is no such receipt.");
  if (!row) co_return std::unexpected(std::move(row).error());
  CO_TRY(body, parse_json(row->body));
  if (!body.is_object()) co_return fail(ErrorCode::kInternal, "a stored receipt is damaged");
  CO_TRY(payload, parse_json(get_string(body.get_object(), "payload")));
  if (!payload.is_object()) co_return fail(ErrorCode::kInternal, "a stored receipt is damaged");
  const json::object& values = payload.get_object();
  Receipt receipt{.id = std::string(get_string(values, "id")),
                  .store = std::string(get_string(values, "store")),
                  .time = get_int(values, "time"),
                  .hashes = {},
                  .signature = std::string(get_string(body.get_object(), "signature"))};
  for (const json::value& one : get_array(values, "hashes"))
    if (one.is_string()) receipt.hashes.emplace_back(as_view(one.get_string()));
  co_return receipt;
}

bool Memories::is_genuine(const Receipt& receipt) const {
  return receipt.signature == to_hex(as_view(hmac_sha256(secret_, receipt.payload())));
}

}  // namespace perdure::memory
