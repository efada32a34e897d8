#include "facades/admin/memory_wire.h"

#include <fmt/format.h>

#include <utility>

#include "facades/admin/requests.h"
#include "facades/common/json_writer.h"
#include "memory/limits.h"

namespace perdure::facades::admin {
namespace {

using memory::Kind;
using memory::Record;
using memory::Trust;

constexpr std::int64_t kMillis = 1000;
/// Seconds beyond the year 9999 are a mistake.
constexpr std::int64_t kLatest = 253'402'300'799;

Result<UnixMillis> read_time(const JsonField& field) {
  TRY(seconds, read_integer(field, 0));
  if (seconds > kLatest) return wrong("A time is given in whole seconds since 1970.", field.path);
  return seconds * kMillis;
}

Result<std::optional<UnixMillis>> time_member(const JsonObject& body, std::string_view key) {
  const auto field = body.find_value(key);
  if (!field) return std::nullopt;
  TRY(time, read_time(*field));
  return std::optional(time);
}

Result<Kind> read_kind(const JsonField& field) {
  TRY(word, read_string(field));
  if (const auto kind = memory::parse_kind(word)) return *kind;
  return wrong(
      "A kind is one of episode, fact, preference, instruction, summary, reflection and custom.",
      field.path);
}

Result<Trust> read_trust(const JsonField& field) {
  TRY(word, read_string(field));
  if (const auto trust = memory::parse_trust(word)) return *trust;
  return wrong("A trust is one of web, tool, agent, user and operator.", field.path);
}

Result<std::map<std::string, std::string>> read_pairs(const JsonObject& body,
                                                      std::string_view key) {
  std::map<std::string, std::string> pairs;
  const auto field = body.find_value(key);
  if (!field) return pairs;
  TRY(object, JsonObject::read(*field));
  for (const RawMember& member : object.members()) {
    TRY(value, read_string(*object.find(member.key)));
    pairs.emplace(member.key, std::move(value));
  }
  return pairs;
}

Result<std::vector<std::string>> read_ids(const JsonObject& body, std::string_view key) {
  std::vector<std::string> ids;
  const auto field = body.find_value(key);
  if (!field) return ids;
  TRY(fields, read_array(*field));
  for (const JsonField& one : fields) {
    TRY(id, read_text(one));
    ids.push_back(std::move(id));
  }
  return ids;
}

Result<std::vector<memory::Evidence>> read_evidence(const JsonObject& body) {
  std::vector<memory::Evidence> evidence;
  const auto field = body.find_value("evidence");
  if (!field) return evidence;
  TRY(fields, read_array(*field));
  for (const JsonField& one : fields) {
    TRY(span, JsonObject::read(one));
    TRY_VOID(span.allow({"session", "first", "last", "trust"}));
    memory::Evidence read;
    TRY(session_field, span.require("session"));
    TRY(session, read_text(session_field));
    read.session = std::move(session);
    TRY(first_field, span.require("first"));
    TRY(first, read_integer(first_field, 1));
    read.first = read.last = static_cast<std::uint64_t>(first);
    if (const auto last_field = span.find_value("last")) {
      TRY(last, read_integer(*last_field, first));
      read.last = static_cast<std::uint64_t>(last);
    }
    if (const auto trust_field = span.find_value("trust")) {
      TRY(trust, read_trust(*trust_field));
      read.trust = trust;
    }
    evidence.push_back(std::move(read));
  }
  return evidence;
}

Result<Record> read_record(const JsonObject& body) {
  TRY_VOID(body.allow({"namespace", "actor", "kind", "text", "metadata", "subject", "conversation",
                       "speaker", "role", "trust", "valid_from", "valid_to", "confirmed_at",
                       "supersedes", "sources", "evidence"}));
  Record record;
  TRY(text_field, body.require("text"));
  TRY(text, read_text(text_field));
  record.text = std::move(text);
  TRY(actor, string_member(body, "actor", {}));
  TRY(pattern, string_member(body, "namespace", actor.empty() ? "/" : "/users/{actor}/"));
  TRY(expanded, memory::expand_namespace(pattern, actor));
  record.namespace_ = std::move(expanded);
  TRY(subject, string_member(body, "subject", std::move(actor)));
  record.subject = std::move(subject);
  TRY(conversation, string_member(body, "conversation", {}));
  record.conversation = std::move(conversation);
  TRY(speaker, string_member(body, "speaker", {}));
  record.speaker = std::move(speaker);
  if (const auto field = body.find_value("kind")) {
    TRY(kind, read_kind(*field));
    record.kind = kind;
  }
  if (const auto field = body.find_value("role")) {
    TRY(word, read_choice(*field, {"user", "agent", "tool", "nobody"}));
    record.role = memory::parse_role(word).value_or(memory::Speaking::kNobody);
  }
  TRY(metadata, read_pairs(body, "metadata"));
  record.metadata = std::move(metadata);
  TRY(valid_from, time_member(body, "valid_from"));
  record.valid_from = valid_from;
  TRY(valid_to, time_member(body, "valid_to"));
  record.valid_to = valid_to;
  TRY(confirmed, time_member(body, "confirmed_at"));
  record.confirmed = confirmed.value_or(0);
  TRY(supersedes, read_ids(body, "supersedes"));
  record.supersedes = std::move(supersedes);
  TRY(sources, read_ids(body, "sources"));
  record.sources = std::move(sources);
  TRY(evidence, read_evidence(body));
  record.evidence = std::move(evidence);
  return record;
}

void append_texts(std::string& out, const std::vector<std::string>& texts) {
  append_array(out, texts,
               [](std::string& to, const std::string& text) { append_quoted(to, text); });
}

void write_time(ObjectWriter& writer, std::string_view key, std::optional<UnixMillis> time) {
  if (time)
    writer.number(key, *time / kMillis);
  else
    writer.null(key);
}

void write_record(ObjectWriter& writer, const Record& record) {
  writer.text("object", "memory.record")
      .text("id", record.id)
      .text("namespace", record.namespace_)
      .text("kind", to_string(record.kind))
      .text("text", record.text);
  ObjectWriter metadata(writer.begin("metadata"));
  for (const auto& [key, value] : record.metadata) metadata.text(key, value);
  metadata.end();
  writer.text("subject", record.subject)
      .text("conversation", record.conversation)
      .text("speaker", record.speaker)
      .text("role", to_string(record.role))
      .text("trust", to_string(record.trust));
  write_time(writer, "recorded_at", record.recorded);
  write_time(writer, "valid_from", record.valid_from);
  write_time(writer, "valid_to", record.valid_to);
  write_time(writer, "confirmed_at", record.confirmed);
  append_texts(writer.begin("supersedes"), record.supersedes);
  append_texts(writer.begin("sources"), record.sources);
  append_array(writer.begin("evidence"), record.evidence,
               [](std::string& out, const memory::Evidence& one) {
                 ObjectWriter(out)
                     .text("session", one.session)
                     .number("first", static_cast<std::int64_t>(one.first))
                     .number("last", static_cast<std::int64_t>(one.last))
                     .text("trust", to_string(one.trust))
                     .end();
               });
}

}  // namespace

Result<memory::Store> read_new_store(const JsonObject& body) {
  TRY_VOID(body.allow({"name", "description", "language", "workstream"}));
  memory::Store store;
  TRY(name_field, body.require("name"));
  TRY(name, read_text(name_field));
  store.name = std::move(name);
  TRY(description, string_member(body, "description", {}));
  if (character_count(description) > kMaxDescription)
    return wrong(fmt::format("description has at most {} characters.", kMaxDescription),
                 "description");
  store.description = std::move(description);
  TRY(language, string_member(body, "language", "english"));
  store.language = std::move(language);
  TRY(workstream, string_member(body, "workstream", {}));
  if (!workstream.empty()) store.workstream = std::move(workstream);
  return store;
}

Result<NewRecords> read_new_records(const JsonObject& body) {
  NewRecords read;
  if (const auto field = body.find_value("trust")) {
    TRY(trust, read_trust(*field));
    read.claimed = trust;
  }
  const auto list = body.find("records");
  if (!list) {
    TRY(record, read_record(body));
    read.records.push_back(std::move(record));
    return read;
  }
  TRY_VOID(body.allow({"records", "trust"}));
  TRY(fields, read_array(*list));
  if (fields.empty() || fields.size() > memory::kMaxBatch)
    return wrong(fmt::format("records has 1 to {} of them.", memory::kMaxBatch), "records");
  for (const JsonField& field : fields) {
    TRY(one, JsonObject::read(field));
    if (one.find("trust"))
      return wrong("The trust of several records stands beside them.", one.path_of("trust"));
    TRY(record, read_record(one));
    read.records.push_back(std::move(record));
  }
  return read;
}

Result<memory::Question> read_question(const JsonObject& body) {
  TRY_VOID(
      body.allow({"query", "namespace", "actor", "exact_namespace", "kinds", "least_trust",
                  "metadata", "valid_at", "known_at", "include_superseded", "limit", "explain"}));
  memory::Question question;
  TRY(text_field, body.require("query"));
  TRY(text, read_text(text_field));
  if (text.size() > memory::kMaxText)
    return wrong(fmt::format("query has at most {} bytes.", memory::kMaxText), "query");
  question.text = std::move(text);
  TRY(actor, string_member(body, "actor", {}));
  TRY(pattern, string_member(body, "namespace", actor.empty() ? "/" : "/users/{actor}/"));
  TRY(expanded, memory::expand_namespace(pattern, actor));
  question.namespace_ = std::move(expanded);
  if (const auto field = body.find_value("kinds")) {
    TRY(fields, read_array(*field));
    for (const JsonField& one : fields) {
      TRY(kind, read_kind(one));
      question.kinds.push_back(kind);
    }
  }
  if (const auto field = body.find_value("least_trust")) {
    TRY(trust, read_trust(*field));
    question.least_trust = trust;
  }
  TRY(metadata, read_pairs(body, "metadata"));
  question.metadata = std::move(metadata);
  TRY(valid_at, time_member(body, "valid_at"));
  question.valid_at = valid_at;
  TRY(known_at, time_member(body, "known_at"));
  // What was recorded within the second that is named was known then.
  if (known_at) question.known_at = *known_at + kMillis - 1;
  const auto flag = [&](std::string_view key, bool* into) -> Result<void> {
    const auto field = body.find_value(key);
    if (!field) return {};
    TRY(value, read_boolean(*field));
    *into = value;
    return {};
  };
  bool exact = false;
  TRY_VOID(flag("exact_namespace", &exact));
  question.below = !exact;
  TRY_VOID(flag("include_superseded", &question.with_superseded));
  TRY_VOID(flag("explain", &question.explain));
  if (const auto field = body.find_value("limit")) {
    TRY(limit, read_integer(*field, 1));
    if (limit > static_cast<std::int64_t>(memory::kMaxResults))
      return wrong(fmt::format("limit is at most {}.", memory::kMaxResults), "limit");
    question.limit = static_cast<std::size_t>(limit);
  }
  return question;
}

Result<memory::Selection> read_selection(const JsonObject& body) {
  TRY_VOID(body.allow({"records", "subject", "session", "namespace"}));
  memory::Selection selection;
  TRY(ids, read_ids(body, "records"));
  selection.ids.insert(ids.begin(), ids.end());
  TRY(subject, string_member(body, "subject", {}));
  selection.subject = std::move(subject);
  TRY(session, string_member(body, "session", {}));
  selection.session = std::move(session);
  TRY(name, string_member(body, "namespace", {}));
  if (!name.empty()) {
    TRY(expanded, memory::expand_namespace(name, {}));
    selection.namespace_ = std::move(expanded);
  }
  // Nothing must not mean everything.
  if (selection.ids.empty() && selection.subject.empty() && selection.session.empty() &&
      selection.namespace_.empty())
    return wrong("Say what to erase: records, subject, session or namespace.", "records");
  return selection;
}

void append_store(std::string& out, const memory::Store& store) {
  ObjectWriter(out)
      .text("object", "memory.store")
      .text("name", store.name)
      .text("description", store.description)
      .text("language", store.language)
      .text_or_null("workstream", store.workstream)
      .number("created_at", store.created / kMillis)
      .end();
}

void append_record(std::string& out, const Record& record) {
  ObjectWriter writer(out);
  write_record(writer, record);
  writer.end();
}

void append_found(std::string& out, const memory::FoundRecord& found) {
  ObjectWriter writer(out);
  write_record(writer, found.record);
  writer.raw("score", fmt::format("{:.4f}", found.hit.score))
      .boolean("superseded", found.hit.superseded);
  if (found.hit.why) {
    ObjectWriter why(writer.begin("explain"));
    append_array(why.begin("terms"), found.hit.why->terms,
                 [](std::string& to, const memory::WhyTerm& term) {
                   ObjectWriter(to)
                       .text("term", term.term)
                       .raw("rarity", fmt::format("{:.4f}", term.rarity))
                       .raw("share", fmt::format("{:.4f}", term.share))
                       .text("source", term.source)
                       .end();
                 });
    why.raw("speaker_boost", fmt::format("{:.2f}", found.hit.why->speaker_boost))
        .raw("role_boost", fmt::format("{:.2f}", found.hit.why->role_boost))
        .end();
  }
  writer.end();
}

void append_receipt(std::string& out, const memory::Receipt& receipt, bool genuine) {
  ObjectWriter writer(out);
  writer.text("object", "memory.erasure")
      .text("id", receipt.id)
      .text("store", receipt.store)
      .number("erased", static_cast<std::int64_t>(receipt.hashes.size()));
  append_texts(writer.begin("hashes"), receipt.hashes);
  writer.number("erased_at", receipt.time / kMillis)
      .text("signature", receipt.signature)
      .boolean("genuine", genuine)
      .end();
}

}  // namespace perdure::facades::admin
