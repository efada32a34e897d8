// The driver `native`: sandboxes on this machine, made of the kernel's own walls and nothing else.
//
// docs/operations/sandbox.md says what they protect from and what not. Each has user, mount,
// process, network, IPC, host name and control group namespaces of its own, a read-only view of
// /usr, its files in memory under a quota, no network but its own loopback, a filter of system
// calls, Landlock, and no capability. Made by the composition root and used on its loop's thread:
// the sandboxes end when the thread that made them ends, because that is what the kernel watches.
// What an earlier server left behind in `state_directory` is ended and removed before anything
// else. If a wall cannot be had the answer is an error that names it.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>

#include "base/env.h"
#include "executor/driver.h"
#include "executor/native/cgroups.h"
#include "executor/runner/descriptor.h"

namespace perdure::executor::native {

struct NativeSettings {
  std::string state_directory;  ///< ours alone; made where it is missing
  bool use_cgroups = true;      ///< where the host lets us
};

class NativeDriver final : public EnvironmentDriver {
 public:
  /// Takes the state directory and cleans it. kConflict: another process uses it.
  static Result<std::unique_ptr<NativeDriver>> make(async::Executor executor, Env& env,
                                                    NativeSettings settings);
  ~NativeDriver() override;

  async::Task<Result<std::unique_ptr<Environment>>> provision(EnvironmentSpec spec) override;

  /// What limits memory, processes and processors here, for people.
  std::string limits_text() const;
  /// Sandboxes of an earlier server that were found and removed.
  int found_at_start() const { return found_at_start_; }

  /// Numbers on the host that one sandbox uses; given back by the sandbox.
  struct Numbers {
    std::set<int> taken;
    std::string instance;
  };

 private:
  NativeDriver(async::Executor executor, NativeSettings settings, Cgroups cgroups,
               runner::Descriptor image, runner::Descriptor lock);

  async::Executor executor_;
  NativeSettings settings_;
  Cgroups cgroups_;
  runner::Descriptor image_, lock_;
  int first_number_ = 0;
  int found_at_start_ = 0;
  std::shared_ptr<Numbers> numbers_ = std::make_shared<Numbers>();
};

}  // namespace perdure::executor::native
