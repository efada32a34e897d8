#include "cli/doctor_command.h"

#include <fmt/format.h>

#include "base/json.h"
#include "cli/exit_code.h"
#include "cli/output.h"
#include "main/doctor.h"

namespace perdure::cli {

int examine_sandboxes(bool as_json) {
  bool all = true;
  json::array list;
  std::vector<TableRow> rows;
  for (const executor::ProbeResult& probe : app::examine_sandboxes()) {
    if (probe.needed && !probe.works) all = false;
    list.push_back({{"name", probe.name},
                    {"works", probe.works},
                    {"needed", probe.needed},
                    {"text", probe.text}});
    rows.push_back({probe.name, probe.works ? "yes" : probe.needed ? "NO" : "no", probe.text});
  }
  if (as_json) {
    fmt::print("{}\n",
               perdure::serialize(json::object{{"sandbox", all}, {"probes", std::move(list)}}));
  } else {
    fmt::print("{}", table({"PROBE", "WORKS", "WHAT WAS FOUND"}, rows));
    fmt::print("\n{}\n",
               all ? "Sandboxes can be made here. They share this host's kernel: for code that is "
                     "out to attack, give the server a virtual machine of its own."
                   : "No sandbox can be made here: what says NO is needed.");
  }
  return all ? kDone : kFailed;
}

}  // namespace perdure::cli
