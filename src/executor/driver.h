// Where environments come from: the seam between who has sessions and what runs their commands.
//
// A driver is made by the composition root, is used on its loop, and outlives its environments.
// `native` (native/driver.h) makes sandboxes on this machine. The executor inside is the same
// protocol everywhere: an ExecutorClient over `connect` does the rest.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "async/task.h"
#include "base/error.h"
#include "executor/message_stream.h"

namespace perdure::executor {

enum class Size { kSmall, kMedium, kLarge };

struct EnvironmentSpec {
  std::string id;  ///< of the environment: [A-Za-z0-9_-], at most 64, new in this driver
  Size size = Size::kSmall;
};

/// Why an environment is no more.
enum class EndReason {
  kDestroyed,    ///< somebody asked for it
  kOutOfMemory,  ///< it was over its memory, and could not go on
  kTooManyProcesses,
  kEnded,  ///< by itself: its init died
};
std::string_view to_string(EndReason reason);

/// One place with a file system and processes of its own. Destroying the object destroys the place;
/// what cannot be done without waiting is done behind it, on the driver's loop.
class Environment {
 public:
  virtual ~Environment() = default;

  virtual const std::string& id() const = 0;
  /// Where commands start and files are kept: an absolute path inside.
  virtual const std::string& home() const = 0;
  /// A new connection to its executor; earlier ones go on. For ExecutorClient::Dial.
  virtual async::Task<Result<std::unique_ptr<MessageStream>>> connect() = 0;
  /// Why it has ended; nullopt while it lives.
  virtual std::optional<EndReason> ended() const = 0;
  /// Waits for its end.
  virtual async::Task<EndReason> wait_ended() = 0;
  /// Ends everything in it and waits until no process, mount, control group or directory of it is
  /// left. kInternal with what is left otherwise.
  virtual async::Task<Result<void>> destroy() = 0;
};

class EnvironmentDriver {
 public:
  virtual ~EnvironmentDriver() = default;
  /// A new, empty environment, ready for commands. kUnavailable with the sentence of the wall that
  /// cannot be had on this host: it is never made without one.
  virtual async::Task<Result<std::unique_ptr<Environment>>> provision(EnvironmentSpec spec) = 0;
};

}  // namespace perdure::executor
