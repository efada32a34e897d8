#include <CLI/CLI.hpp>
#include <utility>

#include "cli/money_flags.h"
#include "cli/workstream_commands.h"

namespace perdure::cli {
namespace {

std::string wrong_pair(const std::string& text) {
  const std::size_t sign = text.find('=');
  if (sign != std::string::npos && sign > 0) return {};
  return "'" + text + "' is not KEY=VALUE";
}

void add_content(CLI::App& command, WorkstreamFlags* flags) {
  command.add_option("--description", flags->description, "What it is about")->type_name("TEXT");
  command.add_option("--metadata", flags->metadata, "A pair for programs; may be repeated")
      ->type_name("KEY=VALUE")
      ->check(wrong_pair);
  command.add_option("--agent", flags->agents, "A saved agent that belongs to it; may be repeated")
      ->type_name("ID");
  command.add_option("--limit", flags->limit, "The most that its model calls may cost")
      ->type_name("DOLLARS")
      ->check(wrong_dollars);
  command.add_option("--window", flags->window, "Of the limit: total, day or month [total]")
      ->type_name("WINDOW")
      ->check(wrong_window)
      ->needs("--limit");
}

}  // namespace

void define_workstreams(CLI::App& root, WorkstreamFlags* flags,
                        const std::function<void(CLI::App&, RunWorkstreams)>& finish) {
  CLI::App* all =
      root.add_subcommand("workstreams", "Group sessions and agents, with members and a budget");
  all->require_subcommand(1);
  const auto add = [&](CLI::App* under, std::string name, std::string help, bool named,
                       RunWorkstreams run) {
    CLI::App* command = under->add_subcommand(std::move(name), std::move(help));
    if (named) command->add_option("NAME", flags->name, "The workstream's name")->required();
    command->add_option("--project", flags->project, "Another project's")->type_name("NAME");
    finish(*command, run);
    return command;
  };
  CLI::App* list = add(all, "ls", "List workstreams, the newest first", false, list_workstreams);
  list->add_flag("--archived", flags->with_archived, "Archived ones too");
  list->add_flag("--oldest-first", flags->oldest_first, "The oldest first");
  add(all, "show", "Show a workstream", true, show_workstream);

  CLI::App* create =
      add(all, "create", "Make a workstream and print its name", true, create_workstream);
  add_content(*create, flags);
  create
      ->add_option("--member", flags->members,
                   "A member, as owner, member or viewer [member]; may be repeated")
      ->type_name("KEY_ID[=ROLE]");
  create->footer("With members it is closed to others; who makes it becomes an owner.");

  CLI::App* set = add(all, "set", "Change a workstream", true, change_workstream);
  add_content(*set, flags);
  set->add_flag("--no-agents", flags->no_agents, "No agent belongs to it")->excludes("--agent");
  set->add_flag("--no-limit", flags->no_limit, "It has no budget")->excludes("--limit");
  set->add_flag("--archive", flags->archive, "It takes no new sessions");
  set->add_flag("--unarchive", flags->unarchive, "It takes sessions again")->excludes("--archive");
  set->footer("--agent and --metadata replace all that were there.");

  add(all, "rm", "Delete an archived workstream without sessions", true, remove_workstream);

  CLI::App* members = all->add_subcommand("members", "List, add and remove members");
  members->require_subcommand(1);
  add(members, "ls", "List a workstream's members", true, list_workstream_members);
  CLI::App* add_member =
      add(members, "set", "Make a key a member, or change its role", true, set_workstream_member);
  add_member->add_option("KEY_ID", flags->subject, "The key, as 'perdure keys ls' shows it")
      ->required();
  add_member->add_option("ROLE", flags->role, "owner, member or viewer [member]")
      ->check(CLI::IsMember({"owner", "member", "viewer"}));
  CLI::App* remove_member = add(members, "rm", "Remove a member", true, remove_workstream_member);
  remove_member->add_option("KEY_ID", flags->subject, "The member")->required();
  remove_member->footer("Without members a workstream is open to its project.");
}

}  // namespace perdure::cli
