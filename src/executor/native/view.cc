#include "executor/native/view.h"

#include <fmt/format.h>

#include <filesystem>

namespace perdure::executor::native {
namespace {

namespace fs = std::filesystem;

constexpr std::uint32_t kInsideId = 1000;

void show_system(runner::Plan& plan) {
  plan.push_back({"bind", "/usr", "usr"});
  // Links into /usr on a merged system, directories of their own on others.
  for (std::string name : {"bin", "sbin", "lib", "lib32", "lib64", "libx32"}) {
    std::error_code error;
    fs::path path = "/" + name;
    if (fs::is_symlink(path, error))
      plan.push_back({"symlink", fs::read_symlink(path, error).string(), name});
    else if (fs::is_directory(path, error))
      plan.push_back({"bind", path.string(), name});
  }
}

void show_settings(runner::Plan& plan) {
  plan.push_back({"directory", "etc", "755"});
  plan.push_back({"file", "etc/passwd", "444",
                  "root:x:0:0:root:/root:/usr/sbin/nologin\n"
                  "user:x:1000:1000:user:/workspace:/bin/bash\n"
                  "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"});
  plan.push_back({"file", "etc/group", "444", "root:x:0:\nuser:x:1000:\nnogroup:x:65534:\n"});
  plan.push_back({"file", "etc/hostname", "444", "sandbox\n"});
  plan.push_back({"file", "etc/hosts", "444", "127.0.0.1 localhost sandbox\n::1 localhost\n"});
  plan.push_back({"file", "etc/resolv.conf", "444", "# This sandbox has no network.\n"});
  plan.push_back(
      {"file", "etc/nsswitch.conf", "444",
       "passwd: files\ngroup: files\nhosts: files\nservices: files\nprotocols: files\n"});
  std::vector<std::string> names = {"alternatives", "ld.so.cache",    "ld.so.conf",
                                    "ld.so.conf.d", "ssl/certs",      "ssl/openssl.cnf",
                                    "mime.types",   "magic",          "services",
                                    "protocols",    "debian_version", "fonts"};
  std::error_code error;
  for (const auto& each : fs::directory_iterator("/etc", error)) {
    std::string name = each.path().filename();
    if (name.starts_with("python") || name.starts_with("perl") || name.starts_with("java-"))
      names.push_back(name);
  }
  for (const std::string& name : names) {
    std::string path = "/etc/" + name;
    // What a link of /etc means need not be anything that is to be seen.
    if (fs::is_symlink(path, error)) continue;
    if (fs::is_directory(path, error) || fs::is_regular_file(path, error))
      plan.push_back({"bind", path, path.substr(1)});
  }
  for (std::string name : {"localtime", "os-release", "mtab"}) {
    fs::path path = "/etc/" + name;
    if (!fs::is_symlink(path, error)) continue;
    std::string text = fs::read_symlink(path, error).string();
    plan.push_back({"symlink", text, "etc/" + name});
  }
}

void show_devices(runner::Plan& plan, const std::string& temporary) {
  plan.push_back({"tmpfs", "dev", "64k", "100", "755"});
  for (const char* name : {"null", "zero", "full", "random", "urandom", "tty"})
    plan.push_back({"device", name});
  plan.push_back({"devpts"});
  plan.push_back({"symlink", "/proc/self/fd", "dev/fd"});
  plan.push_back({"symlink", "/proc/self/fd/0", "dev/stdin"});
  plan.push_back({"symlink", "/proc/self/fd/1", "dev/stdout"});
  plan.push_back({"symlink", "/proc/self/fd/2", "dev/stderr"});
  plan.push_back({"tmpfs", "dev/shm", temporary, "10000", "1777"});
}

/// What of /proc is about the machine and not about the sandbox's processes, and tells too much.
void show_processes(runner::Plan& plan) {
  plan.push_back({"proc"});
  for (const char* name : {"acpi",         "asound",      "bus",           "driver",
                           "fs",           "irq",         "scsi",          "sysvipc",
                           "tty",          "pressure",    "dynamic_debug", "kcore",
                           "kallsyms",     "kmsg",        "keys",          "key-users",
                           "kpagecgroup",  "kpagecount",  "kpageflags",    "latency_stats",
                           "sched_debug",  "schedstat",   "slabinfo",      "sysrq-trigger",
                           "timer_list",   "timer_stats", "vmallocinfo",   "zoneinfo",
                           "pagetypeinfo", "buddyinfo",   "interrupts",    "softirqs",
                           "modules",      "iomem",       "ioports",       "config.gz",
                           "cmdline",      "mdstat",      "partitions",    "diskstats",
                           "swaps",        "bootconfig",  "kprobes",       "allocinfo",
                           "execdomains",  "fb",          "dma",           "consoles",
                           "misc",         "locks",       "mtrr"})
    plan.push_back({"mask", std::string("proc/") + name});
  plan.push_back({"readonly", "proc/sys"});
}

}  // namespace

runner::Plan make_plan(const Allowance& allowance, const Identity& identity, int first_cpu,
                       const std::vector<std::string>& seccomp_programs) {
  auto text = [](auto number) { return fmt::format("{}", number); };
  std::string inside = text(kInsideId), files = text(allowance.files);
  std::string temporary = text(allowance.temporary_bytes);
  runner::Plan plan;
  plan.push_back({"ids", inside, text(identity.host_uid), inside, text(identity.host_gid)});
  plan.push_back({"hostname", "sandbox"});
  plan.push_back({"loopback"});
  plan.push_back({"root", "1m", "1000"});
  show_system(plan);
  show_settings(plan);
  show_devices(plan, temporary);
  show_processes(plan);
  plan.push_back({"directory", "root", "700"});
  plan.push_back({"directory", "run", "755"});
  plan.push_back({"directory", "var", "755"});
  plan.push_back({"symlink", "/tmp", "var/tmp"});
  plan.push_back({"tmpfs", "tmp", temporary, files, "1777"});
  plan.push_back({"tmpfs", "workspace", text(allowance.workspace_bytes), files, "755"});
  plan.push_back({"enter"});
  plan.push_back({"cpus", text(allowance.cpus), text(first_cpu)});
  auto limit = [&](const char* name, std::uint64_t most) {
    plan.push_back({"limit", name, text(most), text(most)});
  };
  limit("processes", allowance.processes);
  limit("files", 4096);
  limit("file-size", allowance.workspace_bytes);
  limit("core", 0);
  limit("locked", 8 << 20);
  limit("queues", 819'200);
  limit("signals", 4096);
  limit("realtime", 0);
  limit("nice", 0);
  runner::PlanStep paths = {"landlock", "/usr",     "x", "/etc", "r", "/proc", "p", "/dev",
                            "d",        "/dev/shm", "w", "/tmp", "w", kHome,   "w"};
  for (const runner::PlanStep& step : plan) {
    if (step[0] == "bind" && step[1] != "/usr" && !step[1].starts_with("/etc"))
      paths.insert(paths.end(), {"/" + step[2], "x"});
  }
  plan.push_back(std::move(paths));
  runner::PlanStep filter = {"seccomp"};
  filter.insert(filter.end(), seccomp_programs.begin(), seccomp_programs.end());
  plan.push_back(std::move(filter));
  plan.push_back({"serve", kHome, "/tmp"});
  return plan;
}

}  // namespace perdure::executor::native
