// One process of a session: its start, its pipes or terminal, its output, its end.
//
// Owned by its Session, on the runner's one thread. Every process leads a session and a process
// group of its own; signals go to the group. It has *exited* when its first process has, and is
// *closed* when nobody holds its output any more either. Destroying it kills its group.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "executor/runner/descriptor.h"
#include "executor/runner/output_log.h"

namespace perdure::executor::runner {

struct StartRequest {
  std::string id;
  std::vector<std::string> argv;
  std::string cwd;
  std::map<std::string, std::string> env;
  std::string arg0;  ///< empty: argv[0]
  bool tty = false;
  bool pipe_stdin = false;
  std::int64_t timeout_ms = 0;  ///< 0: none
};

class Process {
 public:
  /// nullptr and a sentence when it could not be started.
  static std::unique_ptr<Process> start(StartRequest request, std::int64_t now_ms,
                                        std::string* error);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  const std::string& id() const { return id_; }
  pid_t pid() const { return pid_; }
  bool exited() const { return exited_; }
  bool closed() const { return exited_ && !output_ && !errors_; }
  bool timed_out() const { return timed_out_; }
  /// As a shell has it: the exit status, or 128 and the signal.
  int exit_code() const { return exit_code_; }
  int signal() const { return signal_; }  ///< that ended it; 0: none

  OutputLog& log() { return log_; }
  const OutputLog& log() const { return log_; }

  enum class Written { kAccepted, kStdinClosed, kFull };
  Written write(std::string_view bytes);
  /// The end of standard input, behind what was written; a terminal gets an end-of-file character.
  void close_stdin();
  /// False if it had exited.
  bool send_signal(int number);
  /// Asks it to end, and makes it end after kTerminateGraceMs.
  bool terminate(std::int64_t now_ms);

  // --- for the loop ---
  int output_descriptor() const { return output_.get(); }
  int error_descriptor() const { return errors_.get(); }
  /// Where queued input goes, -1 if none is queued.
  int input_descriptor() const { return queued_.empty() ? -1 : stdin_number(); }
  /// Reads once from a descriptor that has something; nullptr when there was no output in it.
  const OutputPiece* read_output(int descriptor);
  void flush_input();
  /// It ended, as waitpid says. Gives its number among the events.
  std::uint64_t note_exit(int wait_status);
  /// When `on_time` wants to be called; nullopt: never.
  std::optional<std::int64_t> next_time() const;
  void on_time(std::int64_t now_ms);
  std::optional<std::uint64_t> closed_seq;  ///< once told

 private:
  Process() = default;
  int stdin_number() const { return tty_ ? output_.get() : input_.get(); }

  std::string id_;
  pid_t pid_ = -1;
  bool tty_ = false;
  Descriptor input_, output_, errors_;  ///< with a terminal: output_ is its master
  std::string queued_;
  bool close_wanted_ = false;
  OutputLog log_;
  bool exited_ = false, timed_out_ = false;
  int exit_code_ = 0, signal_ = 0;
  std::optional<std::int64_t> deadline_ms_, kill_ms_;
};

}  // namespace perdure::executor::runner
