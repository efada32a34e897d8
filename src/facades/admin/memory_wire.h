// The shapes of memory in the server's own API: docs/operations/memory.md has them with examples.
// Times are whole seconds. Pure functions; what is wrong in a request is kInvalidArgument with the
// path of the member.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "facades/common/json_reader.h"
#include "memory/memories.h"

namespace perdure::facades::admin {

/// {"name","description","language","workstream"}
Result<memory::Store> read_new_store(const JsonObject& body);

struct NewRecords {
  std::vector<memory::Record> records;
  memory::Trust claimed = memory::Trust::kUser;
};
/// One record, or {"records":[…]}; "trust" is whose word all of them are.
Result<NewRecords> read_new_records(const JsonObject& body);
Result<memory::Question> read_question(const JsonObject& body);
/// {"records","subject","session","namespace"}, at least one of them.
Result<memory::Selection> read_selection(const JsonObject& body);

void append_store(std::string& out, const memory::Store& store);
void append_record(std::string& out, const memory::Record& record);
void append_found(std::string& out, const memory::FoundRecord& found);
void append_receipt(std::string& out, const memory::Receipt& receipt, bool genuine);

}  // namespace perdure::facades::admin
