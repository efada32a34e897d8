#include "facades/admin/memory_api.h"

#include <utility>

#include "base/log.h"
#include "facades/admin/errors.h"
#include "facades/admin/limits.h"
#include "facades/admin/memory_wire.h"
#include "facades/common/json_writer.h"
#include "facades/common/viewer.h"

namespace perdure::facades::admin {

using async::Task;
using memory::Record;
using memory::Store;
using resources::Access;

namespace {

std::unexpected<Error> no_such_store() {
  return fail(ErrorCode::kNotFound, "There is no such memory store.");
}

http::Response list_response(const std::vector<Record>& records, std::size_t limit) {
  std::string body;
  ObjectWriter writer(body);
  const bool more = records.size() > limit;
  const std::vector<Record> page(records.begin(),
                                 more ? records.begin() + std::ptrdiff_t(limit) : records.end());
  append_array(writer.begin("data"), page, append_record);
  writer.boolean("has_more", more);
  if (more)
    writer.text("next", page.back().id);
  else
    writer.null("next");
  writer.end();
  return http::json_response(200, std::move(body));
}

}  // namespace

void MemoryApi::add_routes(http::Router& router) {
  const auto add = [&](std::string method, std::string path, std::string summary,
                       Operation operation, std::vector<http::QueryParameter> query = {}) {
    query.push_back({"project", "Another project's; for the operator"});
    router.add({.method = std::move(method),
                .path = "/api/memory/stores" + std::move(path),
                .summary = std::move(summary),
                .tag = "memory",
                .query = std::move(query),
                .max_body = kMaxMemoryBody,
                .handler = std::bind_front(&MemoryApi::serve, this, operation)});
  };
  add("POST", "", "Make a memory store", &MemoryApi::create);
  add("GET", "", "List memory stores", &MemoryApi::list);
  add("GET", "/{store}", "Read a memory store", &MemoryApi::show);
  add("DELETE", "/{store}", "Delete a memory store without records", &MemoryApi::remove);
  add("POST", "/{store}/records", "Remember something", &MemoryApi::add_records);
  add("GET", "/{store}/records", "List records, the newest first", &MemoryApi::list_records,
      {{"limit", "Records on a page, at most 1000 [100]"},
       {"after", "The id of the last record of the page before"}});
  add("GET", "/{store}/records/{record}", "Read a record", &MemoryApi::show_record);
  add("POST", "/{store}/search", "Find records by their words", &MemoryApi::search);
  add("GET", "/{store}/standing", "Instructions and preferences in force", &MemoryApi::standing,
      {{"namespace", "Of this namespace and those above it [/]"}});
  add("POST", "/{store}/erasures", "Erase records and what was made from them", &MemoryApi::erase);
  add("GET", "/{store}/erasures/{erasure}", "Read the receipt of an erasure",
      &MemoryApi::show_erasure);
}

Task<http::Response> MemoryApi::serve(Operation operation, http::Request request) {
  const std::string request_id = request.request_id;
  auto caller = co_await caller_in_project(request);
  if (!caller) co_return error_response(caller.error());
  Answer answer = co_await (this->*operation)(std::move(request), std::move(*caller));
  if (answer) co_return std::move(*answer);
  if (answer.error().code == ErrorCode::kInternal)
    log::error("a request failed", {{"request", request_id}, {"error", answer.error().message}});
  co_return error_response(answer.error());
}

Task<Result<identity::Caller>> MemoryApi::caller_in_project(http::Request request) {
  identity::Caller caller = parts_.caller_of(request);
  CO_TRY(named, read_parameter(request.query, "project"));
  if (!named || *named == caller.project.value) co_return caller;
  bool there = false;
  if (caller.operator_access) {
    CO_TRY(exists, co_await parts_.keys.project_exists(*named));
    there = exists;
  }
  if (!there) co_return fail(ErrorCode::kNotFound, "There is no such project.", "project");
  caller.project = ProjectId{*named};
  co_return caller;
}

Task<Result<Store>> MemoryApi::store_of(http::Request request, identity::Caller caller,
                                        Access needed) {
  CO_TRY(store, co_await parts_.memories.find(caller.project, request.parameters.at(0)));
  CO_TRY(access,
         co_await parts_.workstreams.access(caller.project, store.workstream, asker_of(caller)));
  if (access == Access::kNone) co_return no_such_store();
  if (access < needed)
    co_return fail(ErrorCode::kPermissionDenied,
                   "Who only reads in a workstream does not change its memory.");
  co_return store;
}

// ---- stores -------------------------------------------------------------------------------------

Task<MemoryApi::Answer> MemoryApi::create(http::Request request, identity::Caller caller) {
  CO_TRY_VOID(allow_parameters(request.query, {}));
  CO_TRY(body, read_body(request));
  CO_TRY(draft, read_new_store(body));
  if (draft.workstream) {
    auto found = co_await parts_.workstreams.find(caller.project, *draft.workstream);
    if (!found && found.error().code != ErrorCode::kNotFound)
      co_return std::unexpected(std::move(found).error());
    if (!found || found->access_of(asker_of(caller)) < Access::kWork)
      co_return wrong("There is no such workstream that you may work in.", "workstream");
  }
  CO_TRY(made, co_await parts_.memories.create(caller.project, std::move(draft)));
  log::info("a memory store was made",
            {{"project", caller.project.value}, {"store", made.name}, {"by", caller.principal}});
  std::string text;
  append_store(text, made);
  co_return http::json_response(201, std::move(text));
}

Task<MemoryApi::Answer> MemoryApi::list(http::Request request, identity::Caller caller) {
  CO_TRY_VOID(allow_parameters(request.query, {}));
  CO_TRY(stores, co_await parts_.memories.list(caller.project));
  CO_TRY(hidden, co_await parts_.workstreams.hidden_from(caller.project, asker_of(caller)));
  std::erase_if(
      stores, [&](const Store& one) { return one.workstream && hidden.contains(*one.workstream); });
  std::string body;
  ObjectWriter writer(body);
  append_array(writer.begin("data"), stores, append_store);
  writer.boolean("has_more", false).end();
  co_return http::json_response(200, std::move(body));
}

Task<MemoryApi::Answer> MemoryApi::show(http::Request request, identity::Caller caller) {
  CO_TRY_VOID(allow_parameters(request.query, {}));
  CO_TRY(store, co_await store_of(request, caller, Access::kRead));
  std::string body;
  append_store(body, store);
  co_return http::json_response(200, std::move(body));
}

Task<MemoryApi::Answer> MemoryApi::remove(http::Request request, identity::Caller caller) {
  CO_TRY_VOID(allow_parameters(request.query, {}));
  CO_TRY(store, co_await store_of(request, caller, Access::kWork));
  CO_TRY_VOID(co_await parts_.memories.remove(caller.project, store.name));
  log::info("a memory store was deleted",
            {{"project", caller.project.value}, {"store", store.name}, {"by", caller.principal}});
  std::string body;
  ObjectWriter(body)
      .text("object", "memory.store")
      .text("name", store.name)
      .boolean("deleted", true)
      .end();
  co_return http::json_response(200, std::move(body));
}

// ---- records ------------------------------------------------------------------------------------

Task<MemoryApi::Answer> MemoryApi::add_records(http::Request request, identity::Caller caller) {
  CO_TRY_VOID(allow_parameters(request.query, {}));
  CO_TRY(store, co_await store_of(request, caller, Access::kWork));
  CO_TRY(body, read_body(request));
  CO_TRY(read, read_new_records(body));
  if (read.claimed == memory::Trust::kOperator && !caller.operator_access)
    co_return wrong("Only the operator's own word is an operator's.", "trust");
  CO_TRY(records, co_await parts_.memories.add(caller.project, store.name, std::move(read.records),
                                               read.claimed));
  std::string text;
  if (body.find("records")) {
    ObjectWriter writer(text);
    append_array(writer.begin("data"), records, append_record);
    writer.end();
  } else {
    append_record(text, records.front());
  }
  co_return http::json_response(201, std::move(text));
}

Task<MemoryApi::Answer> MemoryApi::list_records(http::Request request, identity::Caller caller) {
  CO_TRY_VOID(allow_parameters(request.query, {"limit", "after"}));
  CO_TRY(page, read_page(request.query));
  CO_TRY(store, co_await store_of(request, caller, Access::kRead));
  const bool has_cursor = page.after.has_value();
  auto records = co_await parts_.memories.records(caller.project, store.name, std::move(page.after),
                                                  page.limit + 1);
  if (!records && has_cursor && records.error().code == ErrorCode::kNotFound)
    co_return wrong("after must be the id of a record of this store.", "after");
  if (!records) co_return std::unexpected(std::move(records).error());
  co_return list_response(*records, page.limit);
}

Task<MemoryApi::Answer> MemoryApi::show_record(http::Request request, identity::Caller caller) {
  CO_TRY_VOID(allow_parameters(request.query, {}));
  CO_TRY(store, co_await store_of(request, caller, Access::kRead));
  CO_TRY(record,
         co_await parts_.memories.record(caller.project, store.name, request.parameters.at(1)));
  std::string body;
  append_record(body, record);
  co_return http::json_response(200, std::move(body));
}

Task<MemoryApi::Answer> MemoryApi::search(http::Request request, identity::Caller caller) {
  CO_TRY_VOID(allow_parameters(request.query, {}));
  CO_TRY(store, co_await store_of(request, caller, Access::kRead));
  CO_TRY(body, read_body(request));
  CO_TRY(question, read_question(body));
  CO_TRY(found, co_await parts_.memories.search(caller.project, store.name, std::move(question)));
  std::string text;
  ObjectWriter writer(text);
  append_array(writer.begin("data"), found, append_found);
  writer.end();
  co_return http::json_response(200, std::move(text));
}

Task<MemoryApi::Answer> MemoryApi::standing(http::Request request, identity::Caller caller) {
  CO_TRY_VOID(allow_parameters(request.query, {"namespace"}));
  CO_TRY(store, co_await store_of(request, caller, Access::kRead));
  CO_TRY(given, read_parameter(request.query, "namespace"));
  CO_TRY(namespace_, memory::expand_namespace(given.value_or("/"), {}));
  CO_TRY(records, co_await parts_.memories.standing(caller.project, store.name, namespace_));
  co_return list_response(records, records.size());
}

// ---- erasing ------------------------------------------------------------------------------------

Task<MemoryApi::Answer> MemoryApi::erase(http::Request request, identity::Caller caller) {
  CO_TRY_VOID(allow_parameters(request.query, {}));
  CO_TRY(store, co_await store_of(request, caller, Access::kWork));
  CO_TRY(body, read_body(request));
  CO_TRY(selection, read_selection(body));
  CO_TRY(receipt, co_await parts_.memories.erase(caller.project, store.name, std::move(selection)));
  log::info("memory was erased", {{"project", caller.project.value},
                                  {"store", store.name},
                                  {"records", receipt.hashes.size()},
                                  {"receipt", receipt.id},
                                  {"by", caller.principal}});
  std::string text;
  append_receipt(text, receipt, parts_.memories.is_genuine(receipt));
  co_return http::json_response(200, std::move(text));
}

Task<MemoryApi::Answer> MemoryApi::show_erasure(http::Request request, identity::Caller caller) {
  CO_TRY_VOID(allow_parameters(request.query, {}));
  CO_TRY(store, co_await store_of(request, caller, Access::kRead));
  CO_TRY(receipt, co_await parts_.memories.receipt(caller.project, request.parameters.at(1)));
  if (receipt.store != store.name)
    co_return fail(ErrorCode::kNotFound, "There is no such receipt.");
  std::string text;
  append_receipt(text, receipt, parts_.memories.is_genuine(receipt));
  co_return http::json_response(200, std::move(text));
}

}  // namespace perdure::facades::admin
