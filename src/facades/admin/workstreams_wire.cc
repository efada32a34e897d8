#include "facades/admin/workstreams_wire.h"

#include <fmt/format.h>

#include <utility>

#include "base/ids.h"
#include "facades/admin/budget_wire.h"
#include "facades/admin/limits.h"
#include "facades/admin/requests.h"
#include "facades/common/json_writer.h"

namespace perdure::facades::admin {
namespace {

using resources::Role;
using resources::Workstream;

Result<std::map<std::string, std::string>> read_metadata(const JsonField& field) {
  std::map<std::string, std::string> out;
  if (field.is_null()) return out;
  TRY(pairs, JsonObject::read(field));
  if (pairs.members().size() > kMaxMetadataPairs)
    return wrong(fmt::format("metadata has at most {} pairs.", kMaxMetadataPairs), field.path);
  for (const RawMember& member : pairs.members()) {
    const auto value_field = pairs.find(member.key);
    if (character_count(member.key) > kMaxMetadataKey)
      return wrong(fmt::format("A name in metadata has at most {} characters.", kMaxMetadataKey),
                   value_field->path);
    TRY(value, read_string(*value_field));
    if (character_count(value) > kMaxMetadataValue)
      return wrong(fmt::format("A value in metadata has at most {} characters.", kMaxMetadataValue),
                   value_field->path);
    out.emplace(member.key, std::move(value));
  }
  return out;
}

Result<std::vector<std::string>> read_agents(const JsonField& field) {
  std::vector<std::string> agents;
  if (field.is_null()) return agents;
  TRY(fields, read_array(field));
  agents.reserve(fields.size());
  for (const JsonField& one : fields) {
    TRY(agent, read_text(one));
    agents.push_back(std::move(agent));
  }
  return agents;
}

Result<std::map<std::string, Role>> read_members(const JsonField& field) {
  std::map<std::string, Role> members;
  TRY(fields, read_array(field));
  for (const JsonField& one : fields) {
    TRY(member, JsonObject::read(one));
    TRY_VOID(member.allow({"subject", "role"}));
    TRY(subject_field, member.require("subject"));
    TRY(subject, read_text(subject_field));
    TRY(role, read_role(member));
    if (!members.emplace(subject, role).second)
      return wrong(fmt::format("'{}' stands there twice.", subject), subject_field.path);
  }
  return members;
}

/// What both a creation and a change may give.
Result<Workstream> read_content(const JsonObject& body, Workstream workstream) {
  if (const auto field = body.find("description")) {
    workstream.description.clear();
    if (!field->is_null()) {
      TRY(text, read_string(*field));
      if (character_count(text) > kMaxDescription)
        return wrong(fmt::format("description has at most {} characters.", kMaxDescription),
                     field->path);
      workstream.description = std::move(text);
    }
  }
  if (const auto field = body.find("metadata")) {
    TRY(metadata, read_metadata(*field));
    workstream.metadata = std::move(metadata);
  }
  if (const auto field = body.find("agents")) {
    TRY(agents, read_agents(*field));
    workstream.agents = std::move(agents);
  }
  return workstream;
}

}  // namespace

Result<Role> read_role(const JsonObject& body) {
  const auto field = body.find_value("role");
  if (!field) return Role::kMember;
  TRY(word, read_choice(*field, {"owner", "member", "viewer"}));
  return *resources::parse_role(word);
}

Result<Workstream> read_changed_workstream(const JsonObject& body, Workstream workstream) {
  TRY_VOID(body.allow({"description", "metadata", "agents", "archived"}));
  if (const auto field = body.find_value("archived")) {
    TRY(archived, read_boolean(*field));
    workstream.archived = archived;
  }
  return read_content(body, std::move(workstream));
}

Result<Workstream> read_new_workstream(const JsonObject& body) {
  TRY_VOID(body.allow({"name", "description", "metadata", "agents", "members"}));
  TRY(name_field, body.require("name"));
  TRY(name, read_text(name_field));
  if (!is_workstream_id(name))
    return wrong("A workstream's name is 1 to 64 characters of [A-Za-z0-9_-].", "name");
  Workstream workstream{.name = std::move(name)};
  if (const auto field = body.find_value("members")) {
    TRY(members, read_members(*field));
    workstream.members = std::move(members);
  }
  return read_content(body, std::move(workstream));
}

void append_workstream(std::string& out, const Workstream& workstream,
                       const resources::Asker& asker, const journal::Budget* budget) {
  ObjectWriter writer(out);
  writer.text("object", "workstream")
      .text("name", workstream.name)
      .text("description", workstream.description);
  ObjectWriter metadata(writer.begin("metadata"));
  for (const auto& [key, value] : workstream.metadata) metadata.text(key, value);
  metadata.end();
  append_array(writer.begin("agents"), workstream.agents,
               [](std::string& to, const std::string& agent) { append_quoted(to, agent); });
  writer.boolean("open", !workstream.closed());
  append_array(
      writer.begin("members"), workstream.members, [](std::string& to, const auto& member) {
        ObjectWriter(to).text("subject", member.first).text("role", to_string(member.second)).end();
      });
  const auto own = asker ? workstream.members.find(*asker) : workstream.members.end();
  if (own == workstream.members.end())
    writer.null("role");
  else
    writer.text("role", to_string(own->second));
  writer.boolean("archived", workstream.archived);
  if (budget)
    append_budget(writer.begin("budget"), *budget);
  else
    writer.null("budget");
  writer.number("created_at", workstream.created / 1000)
      .number("updated_at", workstream.updated / 1000)
      .end();
}

}  // namespace perdure::facades::admin
