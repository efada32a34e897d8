#include "cli/cli.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "cli/agent_commands.h"
#include "cli/commands.h"
#include "cli/context_commands.h"
#include "cli/doctor_command.h"
#include "cli/exit_code.h"
#include "cli/memory_commands.h"
#include "cli/migrate_command.h"
#include "cli/model_commands.h"
#include "cli/money_commands.h"
#include "cli/money_flags.h"
#include "cli/search_commands.h"
#include "cli/workstream_commands.h"
#include "main/app.h"
#include "main/config.h"
#include "main/process.h"
#include "main/toml_reader.h"

namespace perdure::cli {
namespace {

using app::Environment;
using app::Flags;
using app::Mode;

/// What the flags of all commands are read into, and what was chosen.
struct Choice {
  Flags server;
  CommonFlags common;
  std::string project = "default";
  std::optional<std::string> only_project;
  std::string name;
  std::string id;
  std::optional<std::string> workstream;
  std::string scope;
  std::string reason;
  bool with_lifted = false;
  bool sandbox = false;
  UsageFlags usage;
  SearchFlags search;
  WorkstreamFlags workstreams;
  MemoryFlags memory;
  std::string turn;
  BudgetFlags budget;
  app::MigrateFlags migrate;
  int limit = 20;
  NewAgent agent;
  std::optional<int> version;
  std::function<int(const Environment&)> run;
};

void add_json(CLI::App& command, Choice& choice) {
  command.add_flag("--json", choice.common.json, "Print JSON, for programs");
}

/// The flags that both server commands have.
void add_server_flags(CLI::App& command, Flags& flags) {
  command
      .add_option("--listen", flags.listen,
                  "Where to listen (PERDURE_LISTEN) [127.0.0.1:8787]; port 0 takes a free one")
      ->type_name("HOST:PORT");
  command
      .add_option("--data-dir", flags.data_dir,
                  "Where everything is kept (PERDURE_DATA_DIR) [$XDG_DATA_HOME/perdure]")
      ->type_name("DIR");
  command
      .add_option("--store", flags.store,
                  "The store: sqlite, or postgresql://… (PERDURE_STORE) [sqlite]")
      ->type_name("URL");
  command
      .add_option("--config", flags.config,
                  "Configuration file (PERDURE_CONFIG) [./perdure.toml if present]")
      ->type_name("FILE");
  command
      .add_option("--log-level", flags.log_level,
                  "debug, info, warn, error or off (PERDURE_LOG_LEVEL) [info]")
      ->type_name("LEVEL");
  command
      .add_option("--log-format", flags.log_format,
                  "text or json (PERDURE_LOG_FORMAT) [text on a terminal, else json]")
      ->type_name("FORMAT");
  command
      .add_option("--advertise", flags.advertise,
                  "How other nodes reach this one (PERDURE_ADVERTISE) [the listen address]")
      ->type_name("URL");
}

/// The flags of every command that talks to a server.
void add_client_flags(CLI::App& command, Choice& choice) {
  ServerFlags& flags = choice.common.server;
  command
      .add_option("--data-dir", flags.data_dir,
                  "Data directory of the server on this machine (PERDURE_DATA_DIR)")
      ->type_name("DIR");
  command
      .add_option("--config", flags.config, "Configuration file of that server (PERDURE_CONFIG)")
      ->type_name("FILE");
  command.add_option("--url", flags.url, "Another server's URL; needs a token")->type_name("URL");
  command.add_option("--token", flags.token, "The token or key to use (PERDURE_TOKEN)")
      ->type_name("TOKEN");
  add_json(command, choice);
}

int start_server(Mode mode, const Choice& choice, const Environment& environment) {
  auto config = app::load_config(mode, choice.server, environment);
  if (!config) {
    fmt::print(stderr, "perdure: {}\n", config.error().message);
    return kUsage;
  }
  return app::run(std::move(*config), environment);
}

void add_dev(CLI::App& root, Choice& choice) {
  CLI::App* dev = root.add_subcommand(
      "dev", "Run a server for yourself: loopback only, any key, no configuration");
  add_server_flags(*dev, choice.server);
  dev->add_option("--provider-url", choice.server.provider_url,
                  "Base URL of the model's server, such as http://127.0.0.1:11434/v1")
      ->type_name("URL");
  dev->add_option("--provider-kind", choice.server.provider_kind,
                  fmt::format("{}", fmt::join(app::provider_kinds(), ", ")))
      ->type_name("KIND");
  dev->add_option("--provider-key-env", choice.server.provider_key_env,
                  "The variable that holds the provider's key")
      ->type_name("NAME");
  dev->add_option("--model", choice.server.model,
                  "The model that the examples name, and that 'default' means")
      ->type_name("NAME");
  dev->add_option("--script", choice.server.script,
                  "Play this script instead of calling a model (docs/protocols/scripted-model.md)")
      ->type_name("FILE");
  dev->footer(
      "Without --provider-url the model is the first that is found: OPENAI_API_KEY, then\n"
      "AWS_BEARER_TOKEN_BEDROCK (with AWS_REGION), then Ollama, llama-server or vLLM on this\n"
      "machine, then a scripted stand-in. Clients may call it 'default'.");
  dev->callback([&choice] {
    choice.run = [&choice](const Environment& environment) {
      return start_server(Mode::kDev, choice, environment);
    };
  });
}

void add_serve(CLI::App& root, Choice& choice) {
  CLI::App* serve = root.add_subcommand("serve", "Run a server that demands API keys");
  add_server_flags(*serve, choice.server);
  serve->footer("Make the first key with 'perdure keys create' on the same machine.");
  serve->callback([&choice] {
    choice.run = [&choice](const Environment& environment) {
      return start_server(Mode::kServe, choice, environment);
    };
  });
}

void add_keys(CLI::App& root, Choice& choice) {
  CLI::App* keys = root.add_subcommand("keys", "Create, list and revoke API keys");
  keys->require_subcommand(1);

  CLI::App* create = keys->add_subcommand("create", "Create a key and show it, once");
  create->add_option("--project", choice.project, "The project it opens; made if new [default]")
      ->type_name("NAME");
  create->add_option("--name", choice.name, "A note for you")->type_name("TEXT");
  add_client_flags(*create, choice);
  create->callback([&choice] {
    choice.run = [&choice](const Environment& environment) {
      return create_key(choice.common, environment, choice.project, choice.name);
    };
  });

  CLI::App* list = keys->add_subcommand("ls", "List keys, without their secrets");
  list->add_option("--project", choice.only_project, "Only this project's")->type_name("NAME");
  add_client_flags(*list, choice);
  list->callback([&choice] {
    choice.run = [&choice](const Environment& environment) {
      return list_keys(choice.common, environment, choice.only_project);
    };
  });

  CLI::App* revoke = keys->add_subcommand("revoke", "Refuse a key from now on");
  revoke->add_option("KEY_ID", choice.id, "The key's id, as 'perdure keys ls' shows it")
      ->required();
  add_client_flags(*revoke, choice);
  revoke->callback([&choice] {
    choice.run = [&choice](const Environment& environment) {
      return revoke_key(choice.common, environment, choice.id);
    };
  });
}

void add_session_usage(CLI::App& sessions, Choice& choice) {
  CLI::App* usage = sessions.add_subcommand("usage", "Show what a session has cost, by turn");
  usage->add_option("SESSION_ID", choice.id, "The session's id")->required();
  add_client_flags(*usage, choice);
  usage->callback([&choice] {
    choice.run = [&choice](const Environment& environment) {
      return show_session_usage(choice.common, environment, choice.id);
    };
  });
}

void add_session_context(CLI::App& sessions, Choice& choice) {
  CLI::App* context =
      sessions.add_subcommand("context", "Show what each model call of a turn was sent, and why");
  context->add_option("SESSION_ID", choice.id, "The session's id")->required();
  context->add_option("TURN_ID", choice.turn, "The turn's id [the newest]");
  add_client_flags(*context, choice);
  context->callback([&choice] {
    choice.run = [&choice](const Environment& environment) {
      return show_session_context(choice.common, environment, choice.id, choice.turn);
    };
  });
}

void add_sessions(CLI::App& root, Choice& choice) {
  CLI::App* sessions = root.add_subcommand("sessions", "Look at sessions, and cancel turns");
  sessions->require_subcommand(1);

  CLI::App* list = sessions->add_subcommand("ls", "List the newest sessions");
  list->add_option("--limit", choice.limit, "How many [20]")
      ->type_name("N")
      ->check(CLI::Range(1, 100));
  list->add_option("--workstream", choice.workstream, "Only this workstream's")->type_name("ID");
  add_client_flags(*list, choice);
  list->callback([&choice] {
    choice.run = [&choice](const Environment& environment) {
      return list_sessions(choice.common, environment, choice.limit, choice.workstream);
    };
  });

  CLI::App* show = sessions->add_subcommand("show", "Show a session and its items");
  show->add_option("SESSION_ID", choice.id, "The session's id")->required();
  add_client_flags(*show, choice);
  show->callback([&choice] {
    choice.run = [&choice](const Environment& environment) {
      return show_session(choice.common, environment, choice.id);
    };
  });

  add_session_usage(*sessions, choice);
  add_session_context(*sessions, choice);

  CLI::App* tail = sessions->add_subcommand("tail", "Follow a session's events from now on");
  tail->add_option("SESSION_ID", choice.id, "The session's id")->required();
  add_client_flags(*tail, choice);
  tail->callback([&choice] {
    choice.run = [&choice](const Environment& environment) {
      return tail_session(choice.common, environment, choice.id);
    };
  });

  CLI::App* cancel = sessions->add_subcommand("cancel", "Cancel a session's running turn");
  cancel->add_option("SESSION_ID", choice.id, "The session's id")->required();
  add_client_flags(*cancel, choice);
  cancel->callback([&choice] {
    choice.run = [&choice](const Environment& environment) {
      return cancel_session(choice.common, environment, choice.id);
    };
  });
}

void add_agents(CLI::App& root, Choice& choice) {
  CLI::App* agents = root.add_subcommand("agents", "Save agents for sessions to use");
  agents->require_subcommand(1);
  auto add_limit = [&choice](CLI::App* command) {
    command->add_option("--limit", choice.limit, "How many [20]")
        ->type_name("N")
        ->check(CLI::Range(1, 100));
  };
  auto add_id = [&choice](CLI::App* command) {
    command->add_option("AGENT_ID", choice.id, "The agent's id, as 'perdure agents ls' shows it")
        ->required();
  };

  CLI::App* list = agents->add_subcommand("ls", "List the newest saved agents");
  add_limit(list);
  add_client_flags(*list, choice);
  list->callback([&choice] {
    choice.run = [&choice](const Environment& environment) {
      return list_agents(choice.common, environment, choice.limit);
    };
  });

  CLI::App* show = agents->add_subcommand("show", "Show a saved agent");
  add_id(show);
  show->add_option("--version", choice.version, "An earlier version [the newest]")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  add_client_flags(*show, choice);
  show->callback([&choice] {
    choice.run = [&choice](const Environment& environment) {
      return show_agent(choice.common, environment, choice.id, choice.version);
    };
  });

  CLI::App* create = agents->add_subcommand("create", "Save an agent and print its id");
  create
      ->add_option("--file", choice.agent.file,
                   "Its JSON, as POST /v1/agents takes it; - is standard input")
      ->type_name("FILE");
  create->add_option("--model", choice.agent.model, "The model")->type_name("NAME");
  create->add_option("--name", choice.agent.name, "A name for you")->type_name("TEXT");
  create->add_option("--instructions", choice.agent.instructions, "What it is told")
      ->type_name("TEXT");
  create->footer("Flags win over the file's members.");
  add_client_flags(*create, choice);
  create->callback([&choice] {
    if (!choice.agent.file && !choice.agent.model) throw CLI::RequiredError("--model or --file");
    choice.run = [&choice](const Environment& environment) {
      return create_agent(choice.common, environment, choice.agent);
    };
  });

  CLI::App* versions = agents->add_subcommand("versions", "List a saved agent's versions");
  add_id(versions);
  add_limit(versions);
  add_client_flags(*versions, choice);
  versions->callback([&choice] {
    choice.run = [&choice](const Environment& environment) {
      return list_agent_versions(choice.common, environment, choice.id, choice.limit);
    };
  });

  CLI::App* remove = agents->add_subcommand("rm", "Delete a saved agent; its sessions go on");
  add_id(remove);
  add_client_flags(*remove, choice);
  remove->callback([&choice] {
    choice.run = [&choice](const Environment& environment) {
      return remove_agent(choice.common, environment, choice.id);
    };
  });
}

void add_usage(CLI::App& root, Choice& choice) {
  CLI::App* usage = root.add_subcommand("usage", "Show what model calls used and cost");
  usage->add_option("--from", choice.usage.from, "The first day, in UTC")
      ->type_name("YYYY-MM-DD")
      ->check(wrong_day);
  usage->add_option("--to", choice.usage.to, "The last day")
      ->type_name("YYYY-MM-DD")
      ->check(wrong_day);
  usage
      ->add_option("--group-by", choice.usage.group_by,
                   "day, workstream, agent, session, model, provider [day,model]")
      ->type_name("LIST")
      ->check(wrong_grouping);
  usage->add_option("--project", choice.only_project, "Another project's")->type_name("NAME");
  add_client_flags(*usage, choice);
  usage->callback([&choice] {
    // Days are written so that their order is that of their letters.
    if (!choice.usage.to.empty() && choice.usage.from > choice.usage.to)
      throw CLI::ValidationError("--from", fmt::format("{} is after {}, the day of --to",
                                                       choice.usage.from, choice.usage.to));
    choice.run = [&choice](const Environment& environment) {
      return show_usage(choice.common, environment, choice.only_project, choice.usage);
    };
  });
}

void add_search(CLI::App& root, Choice& choice) {
  CLI::App* command = root.add_subcommand("search", "Find what was said and done in sessions");
  SearchFlags& flags = choice.search;
  command->add_option("WORDS", flags.words, "The words to look for")->required();
  command->add_option("--agent", flags.agent, "Only sessions of this agent")->type_name("ID");
  command->add_option("--workstream", flags.workstream, "Only sessions of this workstream")
      ->type_name("ID");
  command->add_option("--limit", flags.limit, "How many, at most 100 [20]")
      ->type_name("N")
      ->check(CLI::Range(1, 100));
  command->add_option("--after", flags.after, "Begin behind this result of an earlier search")
      ->type_name("ITEM");
  command->add_option("--project", flags.project, "Another project's")->type_name("NAME");
  add_client_flags(*command, choice);
  command->callback([&choice] {
    choice.run = [&choice](const Environment& environment) {
      return search(choice.common, environment, choice.search);
    };
  });
}

void add_budget_name(CLI::App& command, Choice& choice) {
  command.add_option("SCOPE", choice.budget.scope, "project, workstream or agent")
      ->required()
      ->check(wrong_scope);
  command.add_option("ID", choice.budget.id, "Whose budget it is")->required();
}

void add_budgets(CLI::App& root, Choice& choice) {
  CLI::App* budgets = root.add_subcommand("budgets", "Limit what model calls may cost");
  budgets->require_subcommand(1);
  const auto add = [&](std::string name, std::string help, bool named, auto run) {
    CLI::App* command = budgets->add_subcommand(std::move(name), std::move(help));
    if (named) add_budget_name(*command, choice);
    command->add_option("--project", choice.only_project, "Another project's")->type_name("NAME");
    add_client_flags(*command, choice);
    command->callback([&choice, run] { choice.run = run; });
    return command;
  };
  add("ls", "List budgets and what is left of them", false,
      [&choice](const Environment& environment) {
        return list_budgets(choice.common, environment, choice.only_project);
      });
  CLI::App* set = add("set", "Set a budget", true, [&choice](const Environment& environment) {
    return set_budget(choice.common, environment, choice.only_project, choice.budget);
  });
  set->add_option("--limit", choice.budget.limit, "The most that may be spent")
      ->type_name("DOLLARS")
      ->required()
      ->check(wrong_dollars);
  set->add_option("--window", choice.budget.window, "total, day or month, in UTC [total]")
      ->type_name("WINDOW")
      ->check(wrong_window);
  add("rm", "Remove a budget", true, [&choice](const Environment& environment) {
    return remove_budget(choice.common, environment, choice.only_project, choice.budget);
  });
}

void add_memory(CLI::App& root, Choice& choice) {
  define_memory(root, &choice.memory, [&choice](CLI::App& command, RunMemory run) {
    add_client_flags(command, choice);
    command.callback([&choice, run] {
      choice.run = [&choice, run](const Environment& environment) {
        return run(choice.common, environment, choice.memory);
      };
    });
  });
}

void add_workstreams(CLI::App& root, Choice& choice) {
  define_workstreams(root, &choice.workstreams, [&choice](CLI::App& command, RunWorkstreams run) {
    add_client_flags(command, choice);
    command.callback([&choice, run] {
      choice.run = [&choice, run](const Environment& environment) {
        return run(choice.common, environment, choice.workstreams);
      };
    });
  });
}

void add_doctor(CLI::App& root, Choice& choice) {
  CLI::App* doctor = root.add_subcommand("doctor", "Say what works on this machine and why not");
  doctor->add_flag("--sandbox", choice.sandbox, "Try what sandboxes need")->required();
  add_json(*doctor, choice);
  doctor->callback([&choice] {
    choice.run = [&choice](const Environment&) { return examine_sandboxes(choice.common.json); };
  });
}

void add_stop(CLI::App& root, Choice& choice) {
  CLI::App* stop =
      root.add_subcommand("stop", "Stop a session, an agent, a workstream or a project at once");
  stop->add_option("SCOPE", choice.scope, "session, agent, workstream or project")
      ->required()
      ->check(CLI::IsMember({"session", "agent", "workstream", "project"}));
  stop->add_option("ID", choice.id, "Its id; of a project its name")->required();
  stop->add_option("--reason", choice.reason, "Why: everybody who meets the stop reads it")
      ->required()
      ->type_name("TEXT");
  stop->add_option("--project", choice.only_project,
                   "Whose it is [the token's project; the operator's is 'default']")
      ->type_name("NAME");
  add_client_flags(*stop, choice);
  stop->footer("What runs ends, nothing begins, and it stays so until 'perdure stops lift ID'.");
  stop->callback([&choice] {
    choice.run = [&choice](const Environment& environment) {
      return cli::stop(choice.common, environment, choice.scope, choice.id, choice.reason,
                       choice.only_project);
    };
  });

  CLI::App* stops = root.add_subcommand("stops", "List and lift stops");
  stops->require_subcommand(1);
  CLI::App* list = stops->add_subcommand("ls", "List what is stopped");
  list->add_option("--project", choice.only_project, "Only this project's")->type_name("NAME");
  list->add_flag("--all", choice.with_lifted, "Lifted ones too");
  add_client_flags(*list, choice);
  list->callback([&choice] {
    choice.run = [&choice](const Environment& environment) {
      return list_stops(choice.common, environment, choice.only_project, choice.with_lifted);
    };
  });
  CLI::App* lift = stops->add_subcommand("lift", "Lift a stop");
  lift->add_option("STOP_ID", choice.id, "The stop's id, as 'perdure stops ls' shows it")
      ->required();
  add_client_flags(*lift, choice);
  lift->callback([&choice] {
    choice.run = [&choice](const Environment& environment) {
      return lift_stop(choice.common, environment, choice.id);
    };
  });
}

void add_models(CLI::App& root, Choice& choice) {
  CLI::App* models =
      root.add_subcommand("models", "Show the models, and how the pools that answer for them are");
  add_client_flags(*models, choice);
  models->callback([&choice] {
    choice.run = [&choice](const Environment& environment) {
      return show_models(choice.common, environment);
    };
  });
}

void add_migrate(CLI::App& root, Choice& choice) {
  CLI::App* migrate = root.add_subcommand(
      "migrate",
      "Move everything between the embedded store and PostgreSQL, with no server running");
  const auto add_store = [&](const char* flag, std::string& store, const char* help) {
    migrate->add_option(flag, store, help)->type_name("STORE")->required();
  };
  add_store("--from", choice.migrate.from, "The store that is copied, and marked as moved");
  add_store("--to", choice.migrate.to, "The empty store that takes its place");
  migrate->add_flag("--keep-source", choice.migrate.keep_source,
                    "Do not mark the source: for a backup or a trial");
  migrate
      ->add_option("--data-dir", choice.migrate.server.data_dir,
                   "Where the embedded store is, or will be (PERDURE_DATA_DIR)")
      ->type_name("DIR");
  migrate
      ->add_option("--config", choice.migrate.server.config,
                   "Configuration file (PERDURE_CONFIG) [./perdure.toml if present]")
      ->type_name("FILE");
  add_json(*migrate, choice);
  migrate->footer(
      "A STORE is sqlite (in the data directory), a postgresql://… URL, or postgresql: the URL of\n"
      "PERDURE_STORE or the configuration. See docs/operations/postgresql.md.");
  migrate->callback([&choice] {
    choice.run = [&choice](const Environment& environment) {
      return migrate_store(choice.migrate, choice.common.json, environment);
    };
  });
}

void add_version(CLI::App& root, Choice& choice) {
  CLI::App* version = root.add_subcommand("version", "Print what this program is");
  add_json(*version, choice);
  version->callback([&choice] {
    choice.run = [&choice](const Environment&) { return print_version(choice.common.json); };
  });
}

/// The innermost command that the arguments name.
const CLI::App* chosen(const CLI::App& root) {
  const CLI::App* command = &root;
  while (!command->get_subcommands().empty()) command = command->get_subcommands().front();
  return command;
}

/// "perdure keys create"
std::string full_name(const CLI::App& command) {
  const std::string above = command.get_parent() ? full_name(*command.get_parent()) + " " : "";
  return above + command.get_name();
}

/// What could stand where `word` stands: the command's flags, or the commands below it.
std::vector<std::string> candidates(const CLI::App& command, std::string_view word) {
  std::vector<std::string> names;
  if (word.starts_with('-')) {
    for (const CLI::Option* option : command.get_options())
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  } else {
    for (const CLI::App* below : command.get_subcommands({})) names.push_back(below->get_name());
  }
  return names;
}

int explain(const CLI::App& root, const CLI::ParseError& error) {
  const CLI::App* command = chosen(root);
  std::string sentence = error.what();
  for (const CLI::App* at = command; at; at = at->get_parent()) {
    const std::vector<std::string> extras = at->remaining();
    if (extras.empty()) continue;
    const std::string word = extras.front().substr(0, extras.front().find('='));
    const std::string meant = app::nearest(word, candidates(*command, word));
    sentence = fmt::format("'{}' is not a {} of '{}'{}", word,
                           word.starts_with('-') ? "flag" : "command", full_name(*command),
                           meant.empty() ? "." : fmt::format("; did you mean '{}'?", meant));
    break;
  }
  fmt::print(stderr, "perdure: {}\nTry '{} --help'.\n", sentence, full_name(*command));
  return kUsage;
}

}  // namespace

int run(int argc, char** argv) {
  Choice choice;
  CLI::App root("Perdure keeps the whole working state of AI agents, on your own machine.",
                "perdure");
  root.require_subcommand(1);
  root.get_formatter()->column_width(30);
  add_dev(root, choice);
  add_serve(root, choice);
  add_keys(root, choice);
  add_sessions(root, choice);
  add_agents(root, choice);
  add_stop(root, choice);
  add_models(root, choice);
  add_usage(root, choice);
  add_search(root, choice);
  add_workstreams(root, choice);
  add_memory(root, choice);
  add_budgets(root, choice);
  add_doctor(root, choice);
  add_migrate(root, choice);
  add_version(root, choice);
  root.set_version_flag("--version", [] {
    print_version(false);
    return std::string();
  });
  root.footer("Start here: perdure dev\nExit statuses are listed in docs/operations/cli.md.");
  try {
    root.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    fmt::print("{}", root.help());
    return kDone;
  } catch (const CLI::CallForVersion&) {
    return kDone;
  } catch (const CLI::ParseError& error) {
    if (argc <= 1) {
      fmt::print(stderr, "{}", root.help());
      return kUsage;
    }
    return explain(root, error);
  }
  return choice.run(app::read_environment());
}

}  // namespace perdure::cli
