#include "executor/native/cgroups.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sstream>

#include "executor/native/small_files.h"

namespace perdure::executor::native {
namespace {

/// A mounted hierarchy of control groups.
struct Hierarchy {
  std::string mount_point, root;  ///< where, and which of its directories is mounted there
  std::string type;               ///< "cgroup" or "cgroup2"
  std::string options;            ///< of the file system: its controllers
};

std::vector<Hierarchy> hierarchies() {
  std::vector<Hierarchy> found;
  std::istringstream lines(read_small_file("/proc/self/mountinfo").value_or(""));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string id, parent, device, word;
    Hierarchy one;
    words >> id >> parent >> device >> one.root >> one.mount_point;
    while (words >> word && word != "-") {
    }
    words >> one.type >> word >> one.options;
    if (one.type == "cgroup" || one.type == "cgroup2") found.push_back(std::move(one));
  }
  return found;
}

bool has_word(std::string_view list, std::string_view word, char separator) {
  while (!list.empty()) {
    std::size_t end = std::min(list.find(separator), list.size());
    if (list.substr(0, end) == word) return true;
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return false;
}

/// Our own group in the hierarchy with `controllers` ("" for the second version).
std::string own_group(std::string_view controller) {
  std::istringstream lines(read_small_file("/proc/self/cgroup").value_or(""));
  for (std::string line; std::getline(lines, line);) {
    std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    std::string_view controllers = std::string_view(line).substr(first + 1, second - first - 1);
    bool same = controller.empty() ? controllers.empty() : has_word(controllers, controller, ',');
    if (same) return line.substr(second + 1);
  }
  return "/";
}

std::string directory_in(const Hierarchy& hierarchy, std::string group) {
  if (hierarchy.root != "/" && group.starts_with(hierarchy.root))
    group = group.substr(hierarchy.root.size());
  std::string directory = hierarchy.mount_point;
  if (group != "/" && !group.empty()) directory += group;
  struct stat status{};
  return ::stat(directory.c_str(), &status) == 0 ? directory : hierarchy.mount_point;
}

/// 0, or why no group can be made there.
int try_to_make(const std::string& parent) {
  std::string path = fmt::format("{}/perdure-try-{}", parent, ::getpid());
  if (::mkdir(path.c_str(), 0755) != 0) return errno;
  ::rmdir(path.c_str());
  return 0;
}

}  // namespace

Cgroups Cgroups::none(std::string why) {
  Cgroups none;
  none.why_not_ = std::move(why);
  return none;
}

Cgroups Cgroups::find() {
  Cgroups found;
  if (found.try_second_version() || found.try_first_version()) found.why_not_.clear();
  if (found.why_not_.empty() && found.parents_.empty())
    found.why_not_ = "no control groups are mounted";
  return found;
}

bool Cgroups::try_second_version() {
  for (const Hierarchy& hierarchy : hierarchies()) {
    if (hierarchy.type != "cgroup2") continue;
    std::string own = directory_in(hierarchy, own_group(""));
    // Below our own group, or beside it where its parent has been handed to us: a group with
    // processes in it can have no limited groups below.
    for (const std::string& parent : {own, own.substr(0, own.rfind('/'))}) {
      if (!parent.starts_with(hierarchy.mount_point)) continue;
      std::string controllers = read_small_file(parent + "/cgroup.controllers").value_or("");
      while (controllers.ends_with('\n')) controllers.pop_back();
      if (!has_word(controllers, "memory", ' ') || !has_word(controllers, "pids", ' ')) {
        why_not_ = "the memory and pids controllers are not available in " + parent;
        continue;
      }
      int error = try_to_make(parent);
      if (error == 0) {
        bool cpu = has_word(controllers, "cpu", ' ');
        error = write_small_file(parent + "/cgroup.subtree_control",
                                 cpu ? "+memory +pids +cpu" : "+memory +pids");
        if (error == 0) {
          second_version_ = true;
          parents_ = {{"memory", parent}, {"pids", parent}};
          if (cpu) parents_["cpu"] = parent;
          return true;
        }
      }
      why_not_ = fmt::format("no groups can be made in {}: {}", parent, std::strerror(error));
    }
  }
  return false;
}

bool Cgroups::try_first_version() {
  for (const char* controller : {"memory", "pids", "cpu"}) {
    for (const Hierarchy& hierarchy : hierarchies()) {
      if (hierarchy.type != "cgroup" || !has_word(hierarchy.options, controller, ',')) continue;
      std::string parent = directory_in(hierarchy, own_group(controller));
      if (int error = try_to_make(parent); error == 0)
        parents_[controller] = parent;
      else
        why_not_ = fmt::format("no groups can be made in {}: {}", parent, std::strerror(error));
    }
  }
  return !parents_.empty();
}

std::vector<std::string> Cgroups::paths(const std::string& name) const {
  std::vector<std::string> paths;
  for (const auto& [controller, parent] : parents_) {
    std::string path = parent + "/" + name;
    if (std::ranges::find(paths, path) == paths.end()) paths.push_back(std::move(path));
  }
  return paths;
}

Result<Cgroup> Cgroup::make(const Cgroups& where, const std::string& name,
                            const Allowance& allowance) {
  Cgroup group(where.paths(name));
  for (const std::string& path : group.paths_) {
    if (::mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) {
      int error = errno;
      group.remove();
      return fail(ErrorCode::kUnavailable,
                  fmt::format("the control group {}: {}", path, std::strerror(error)));
    }
  }
  struct Setting {
    const char* controller;
    const char* first_version;
    const char* second_version;
    std::string value;
    std::string second_value;
  };
  std::string memory = std::to_string(allowance.memory_bytes);
  std::string processes = std::to_string(allowance.processes);
  std::string quota = std::to_string(allowance.cpus * 100'000);
  for (const Setting& setting : {
           Setting{"memory", "memory.limit_in_bytes", "memory.max", memory, memory},
           Setting{"pids", "pids.max", "pids.max", processes, processes},
           Setting{"cpu", "cpu.cfs_quota_us", "cpu.max", quota, quota + " 100000"},
       }) {
    auto parent = where.parents_.find(setting.controller);
    if (parent == where.parents_.end()) continue;
    std::string file =
        fmt::format("{}/{}/{}", parent->second, name,
                    where.second_version_ ? setting.second_version : setting.first_version);
    int error =
        write_small_file(file, where.second_version_ ? setting.second_value : setting.value);
    if (error != 0) {
      group.remove();
      return fail(ErrorCode::kUnavailable,
                  fmt::format("the limit {}: {}", file, std::strerror(error)));
    }
  }
  return group;
}

Result<void> Cgroup::add(pid_t process) const {
  for (const std::string& path : paths_) {
    if (int error = write_small_file(path + "/cgroup.procs", std::to_string(process)); error != 0)
      return fail(ErrorCode::kUnavailable,
                  fmt::format("the control group {}: {}", path, std::strerror(error)));
  }
  return {};
}

std::uint64_t Cgroup::out_of_memory_kills() const {
  for (const std::string& path : paths_) {
    for (const char* file : {"/memory.oom_control", "/memory.events"}) {
      std::istringstream words(read_small_file(path + file).value_or(""));
      std::string name;
      std::uint64_t count = 0;
      while (words >> name >> count) {
        if (name == "oom_kill") return count;
      }
    }
  }
  return 0;
}

std::vector<pid_t> Cgroup::processes() const {
  std::vector<pid_t> all;
  for (const std::string& path : paths_) {
    std::istringstream numbers(read_small_file(path + "/cgroup.procs").value_or(""));
    for (pid_t process = 0; numbers >> process;) all.push_back(process);
  }
  return all;
}

bool Cgroup::remove() const {
  bool gone = true;
  for (const std::string& path : paths_) {
    if (::rmdir(path.c_str()) != 0 && errno != ENOENT) gone = false;
  }
  return gone;
}

}  // namespace perdure::executor::native
