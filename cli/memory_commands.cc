#include "cli/memory_commands.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <utility>

#include "cli/exit_code.h"
#include "cli/output.h"
#include "cli/pages.h"
#include "cli/printing.h"

namespace perdure::cli {
namespace {

constexpr std::string_view kAll = "/api/memory/stores";

/// …/STORE and what follows it, in the project that is meant.
std::string path_of(const MemoryFlags& wanted, std::string_view rest = {}) {
  return with_parameter(fmt::format("{}/{}{}", kAll, percent_encoded(wanted.store), rest),
                        "project", wanted.project);
}

void put(json::object* body, std::string_view key, const std::optional<std::string>& value) {
  if (value) (*body)[key] = *value;
}

void print_record(const json::object& record) {
  fmt::print("{}  {}  {}  {}\n  {}\n", text_of(record, "id"), text_of(record, "kind"),
             text_of(record, "namespace"), time_of(record, "recorded_at"), text_of(record, "text"));
}

void print_explanation(const json::object& record) {
  for (const json::value& value : get_array(get_object(record, "explain"), "terms")) {
    const json::object& term = value.get_object();
    const std::string source = text_of(term, "source");
    fmt::print("    {}: {}{}\n", text_of(term, "term"), perdure::serialize(*find(term, "share")),
               source == text_of(record, "id") ? "" : " from " + source);
  }
}

int list_stores(const CommonFlags& flags, const app::Environment& environment,
                const MemoryFlags& wanted) {
  const auto client = ApiClient::connect(flags.server, environment);
  if (!client) return report(client.error());
  const auto page =
      client->call("GET", with_parameter(std::string(kAll), "project", wanted.project));
  if (!page) return report(page.error());
  if (flags.json) return print_json(*page);
  const json::array& stores = get_array(page->get_object(), "data");
  if (stores.empty()) {
    fmt::print("There are no memory stores. Make one with 'perdure memory create NAME'.\n");
    return kDone;
  }
  std::vector<TableRow> rows;
  for (const json::value& value : stores) {
    const json::object& store = value.get_object();
    const std::string workstream = text_of(store, "workstream");
    rows.push_back({text_of(store, "name"), text_of(store, "language"),
                    workstream.empty() ? "-" : workstream, time_of(store, "created_at")});
  }
  fmt::print("{}", table({"NAME", "LANGUAGE", "WORKSTREAM", "CREATED (UTC)"}, rows));
  return kDone;
}

int create_store(const CommonFlags& flags, const app::Environment& environment,
                 const MemoryFlags& wanted) {
  const auto client = ApiClient::connect(flags.server, environment);
  if (!client) return report(client.error());
  json::object body{{"name", wanted.store}};
  put(&body, "description", wanted.description);
  put(&body, "language", wanted.language);
  put(&body, "workstream", wanted.workstream);
  const auto made =
      client->call("POST", with_parameter(std::string(kAll), "project", wanted.project),
                   perdure::serialize(body));
  if (!made) return report(made.error());
  if (flags.json) return print_json(*made);
  fmt::print("{}\n", text_of(made->get_object(), "name"));
  return kDone;
}

int remove_store(const CommonFlags& flags, const app::Environment& environment,
                 const MemoryFlags& wanted) {
  const auto client = ApiClient::connect(flags.server, environment);
  if (!client) return report(client.error());
  const auto removed = client->call("DELETE", path_of(wanted));
  if (!removed) return report(removed.error());
  if (flags.json) return print_json(*removed);
  fmt::print("Deleted {}.\n", wanted.store);
  return kDone;
}

int remember(const CommonFlags& flags, const app::Environment& environment,
             const MemoryFlags& wanted) {
  const auto client = ApiClient::connect(flags.server, environment);
  if (!client) return report(client.error());
  json::object body{{"text", wanted.text}};
  put(&body, "namespace", wanted.namespace_);
  put(&body, "actor", wanted.actor);
  put(&body, "kind", wanted.kind);
  put(&body, "subject", wanted.subject);
  if (!wanted.supersedes.empty())
    body["supersedes"] = json::array(wanted.supersedes.begin(), wanted.supersedes.end());
  const auto added = client->call("POST", path_of(wanted, "/records"), perdure::serialize(body));
  if (!added) return report(added.error());
  if (flags.json) return print_json(*added);
  fmt::print("{}\n", text_of(added->get_object(), "id"));
  return kDone;
}

int list_records(const CommonFlags& flags, const app::Environment& environment,
                 const MemoryFlags& wanted) {
  const auto client = ApiClient::connect(flags.server, environment);
  if (!client) return report(client.error());
  const auto all = all_pages(*client, path_of(wanted, "/records"), "id");
  if (!all) return report(all.error());
  if (flags.json) return print_json(json::object{{"data", *all}});
  if (all->empty()) fmt::print("Nothing is remembered there.\n");
  for (const json::value& value : *all) print_record(value.get_object());
  return kDone;
}

int show_record(const CommonFlags& flags, const app::Environment& environment,
                const MemoryFlags& wanted) {
  const auto client = ApiClient::connect(flags.server, environment);
  if (!client) return report(client.error());
  const auto shown = client->call("GET", path_of(wanted, "/records/" + percent_encoded(wanted.id)));
  if (!shown) return report(shown.error());
  if (flags.json) return print_json(*shown);
  const json::object& record = shown->get_object();
  print_record(record);
  fmt::print("  trust: {}\n", text_of(record, "trust"));
  for (const json::value& value : get_array(record, "evidence")) {
    const json::object& one = value.get_object();
    fmt::print("  from: session {}, entries {} to {} ({})\n", text_of(one, "session"),
               get_int(one, "first"), get_int(one, "last"), text_of(one, "trust"));
  }
  return kDone;
}

int search_memory(const CommonFlags& flags, const app::Environment& environment,
                  const MemoryFlags& wanted) {
  const auto client = ApiClient::connect(flags.server, environment);
  if (!client) return report(client.error());
  json::object body{{"query", wanted.text}, {"limit", wanted.limit}, {"explain", wanted.explain}};
  put(&body, "namespace", wanted.namespace_);
  put(&body, "actor", wanted.actor);
  if (wanted.kind) body["kinds"] = json::array{*wanted.kind};
  const auto found = client->call("POST", path_of(wanted, "/search"), perdure::serialize(body));
  if (!found) return report(found.error());
  if (flags.json) return print_json(*found);
  const json::array& hits = get_array(found->get_object(), "data");
  if (hits.empty()) fmt::print("Nothing was found.\n");
  for (const json::value& value : hits) {
    print_record(value.get_object());
    if (wanted.explain) print_explanation(value.get_object());
  }
  return kDone;
}

int erase_records(const CommonFlags& flags, const app::Environment& environment,
                  const MemoryFlags& wanted) {
  const auto client = ApiClient::connect(flags.server, environment);
  if (!client) return report(client.error());
  json::object body;
  put(&body, "subject", wanted.subject);
  put(&body, "session", wanted.session);
  put(&body, "namespace", wanted.namespace_);
  if (!wanted.records.empty())
    body["records"] = json::array(wanted.records.begin(), wanted.records.end());
  const auto receipt = client->call("POST", path_of(wanted, "/erasures"), perdure::serialize(body));
  if (!receipt) return report(receipt.error());
  if (flags.json) return print_json(*receipt);
  fmt::print("Erased {} records; the receipt is {}.\n", get_int(receipt->get_object(), "erased"),
             text_of(receipt->get_object(), "id"));
  return kDone;
}

}  // namespace

void define_memory(CLI::App& root, MemoryFlags* flags,
                   const std::function<void(CLI::App&, RunMemory)>& finish) {
  CLI::App* all = root.add_subcommand("memory", "Remember, find and erase what outlives sessions");
  all->require_subcommand(1);
  const auto add = [&](std::string name, std::string help, bool named, RunMemory run) {
    CLI::App* command = all->add_subcommand(std::move(name), std::move(help));
    if (named) command->add_option("STORE", flags->store, "The memory store")->required();
    command->add_option("--project", flags->project, "Another project's")->type_name("NAME");
    finish(*command, run);
    return command;
  };
  const auto add_place = [&](CLI::App* command) {
    command->add_option("--namespace", flags->namespace_, "Such as /users/ann/")
        ->type_name("NAMESPACE");
    command->add_option("--actor", flags->actor, "Whose: /users/ACTOR/")->type_name("ACTOR");
  };
  add("ls", "List memory stores", false, list_stores);
  CLI::App* create = add("create", "Make a memory store and print its name", true, create_store);
  create->add_option("--description", flags->description, "What it is for")->type_name("TEXT");
  create->add_option("--language", flags->language, "Of its texts [english]")
      ->type_name("LANGUAGE");
  create->add_option("--workstream", flags->workstream, "Whose members alone see it")
      ->type_name("NAME");
  add("rm", "Delete a memory store without records", true, remove_store);

  CLI::App* remember_ = add("add", "Remember something and print its id", true, remember);
  remember_->add_option("TEXT", flags->text, "What to remember")->required();
  add_place(remember_);
  remember_->add_option("--kind", flags->kind, "fact, preference, instruction … [fact]")
      ->type_name("KIND");
  remember_->add_option("--subject", flags->subject, "Whom it is about")->type_name("NAME");
  remember_->add_option("--supersedes", flags->supersedes, "What it takes the place of")
      ->type_name("RECORD");
  add("records", "List records, the newest first", true, list_records);
  CLI::App* show = add("show", "Show a record and where it is from", true, show_record);
  show->add_option("RECORD", flags->id, "The record's id")->required();

  CLI::App* search = add("search", "Find records by their words", true, search_memory);
  search->add_option("WORDS", flags->text, "What to look for")->required();
  add_place(search);
  search->add_option("--kind", flags->kind, "Only this kind")->type_name("KIND");
  search->add_option("--limit", flags->limit, "Results at most [10]")->check(CLI::Range(1, 200));
  search->add_flag("--explain", flags->explain, "Say which words found it");

  CLI::App* erase = add("erase", "Erase records and what was made from them", true, erase_records);
  erase->add_option("--record", flags->records, "This one; may be repeated")->type_name("RECORD");
  erase->add_option("--subject", flags->subject, "All about somebody")->type_name("NAME");
  erase->add_option("--session", flags->session, "All that rests on a session")
      ->type_name("SESSION_ID");
  erase->add_option("--namespace", flags->namespace_, "All of a namespace and those below it")
      ->type_name("NAMESPACE");
}

}  // namespace perdure::cli
