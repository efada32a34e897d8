#include "executor/probes.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "async/within.h"
#include "executor/client.h"
#include "executor/limits.h"
#include "executor/native/driver.h"
#include "executor/native/runner_image.h"
#include "executor/native/spawn.h"

namespace perdure::executor {
namespace {

/// Kills the probe where its asker goes away.
struct Killer {
  int handle;
  ~Killer() { ::syscall(SYS_pidfd_send_signal, handle, SIGKILL, nullptr, 0); }
};

async::Task<ProbeResult> run_probe(async::Executor executor, int image, std::string name) {
  ProbeResult result{name, false, true, ""};
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) co_return result;
  runner::Descriptor ours(ends[0]), theirs(ends[1]);
  auto spawned = native::spawn_runner(image, {"probe", name}, -1, -1, theirs.get());
  if (!spawned) {
    result.text = spawned.error().message;
    co_return result;
  }
  theirs.reset();
  runner::Descriptor handle(::dup(spawned->handle.get()));
  auto status =
      co_await async::within(kProbeMs, native::wait_for_end(executor, std::move(spawned->handle)));
  if (!status) {
    {
      Killer killer{handle.get()};
    }
    co_await native::wait_for_end(executor, std::move(handle));
    result.text = "no answer within " + std::to_string(kProbeMs) + " ms";
    co_return result;
  }
  char text[512];
  ::fcntl(ours.get(), F_SETFL, O_NONBLOCK);
  ssize_t got = ::read(ours.get(), text, sizeof text);
  result.text.assign(text, got > 0 ? static_cast<std::size_t>(got) : 0);
  while (result.text.ends_with('\n')) result.text.pop_back();
  result.works = *status == 0;
  co_return result;
}

async::Task<Result<std::string>> try_sandbox(native::NativeDriver* driver,
                                             async::Executor executor) {
  CO_TRY(environment, co_await driver->provision({"probe", Size::kSmall}));
  Environment* inside = environment.get();
  Result<ExecutorClient::Finished> finished = fail(ErrorCode::kInternal, "");
  {
    ExecutorClient client(executor, [inside] { return inside->connect(); });
    Command command{.process_id = "probe", .argv = {"/bin/sh", "-c", "echo works"}, .cwd = "/"};
    command.timeout_ms = kProbeMs;
    finished = co_await client.run(std::move(command), nullptr, {});
  }
  CO_TRY_VOID(co_await environment->destroy());
  if (!finished) co_return std::unexpected(finished.error());
  if (finished->output.text() != "works\n")
    co_return fail(ErrorCode::kInternal, "a command in it said: " + finished->output.text());
  co_return driver->limits_text();
}

}  // namespace

async::Task<ProbeResult> probe_sandbox(async::Executor executor, Env* env,
                                       std::string temporary_directory) {
  ProbeResult result{"sandbox", false, true, ""};
  std::string directory = temporary_directory + "/perdure-probe-" + env->random_token(8);
  {
    auto driver = native::NativeDriver::make(executor, *env, {directory});
    Result<std::string> tried = fail(ErrorCode::kInternal, "");
    if (driver)
      tried = co_await try_sandbox(driver->get(), executor);
    else
      tried = std::unexpected(driver.error());
    result.works = tried.has_value();
    result.text = tried ? *tried : tried.error().message;
  }
  std::error_code ignored;
  std::filesystem::remove_all(directory, ignored);
  co_return result;
}

async::Task<std::vector<ProbeResult>> probe_host(async::Executor executor, Env* env,
                                                 std::string temporary_directory) {
  std::vector<ProbeResult> results;
  auto image = native::runner_image();
  results.push_back({"runner", image.has_value(), true,
                     image ? "programs in memory can be executed" : image.error().message});
  if (image) {
    for (const char* name :
         {"namespaces", "mounts", "proc", "seccomp", "landlock", "openat2", "pidfd"})
      results.push_back(co_await run_probe(executor, image->get(), name));
  }
  auto cgroups = native::Cgroups::find();
  ProbeResult groups{"cgroups", cgroups.limits_memory(), false, cgroups.why_not()};
  if (groups.works) {
    groups.text = cgroups.second_version() ? "version 2:" : "version 1:";
    groups.text += " memory";
    if (cgroups.limits_processes()) groups.text += ", processes";
    if (cgroups.limits_cpu()) groups.text += ", processors";
  } else if (groups.text.empty()) {
    groups.text = "no group limits memory";
  }
  results.push_back(std::move(groups));
  results.push_back(co_await probe_sandbox(executor, env, temporary_directory));
  co_return results;
}

}  // namespace perdure::executor
