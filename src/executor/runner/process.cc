#include "executor/runner/process.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "executor/runner/limits.h"

namespace perdure::executor::runner {
namespace {

constexpr const char* kDefaultPath = "/usr/local/bin:/usr/bin:/bin";

struct Ends {
  Descriptor ours, theirs;
};

bool make_pipe(Ends& ends, bool we_read) {
  int numbers[2];
  if (::pipe2(numbers, O_CLOEXEC) != 0) return false;
  ends.ours.reset(numbers[we_read ? 0 : 1]);
  ends.theirs.reset(numbers[we_read ? 1 : 0]);
  return ::fcntl(ends.ours.get(), F_SETFL, O_NONBLOCK) == 0;
}

bool make_terminal(Ends& ends) {
  ends.ours.reset(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK));
  if (!ends.ours || ::unlockpt(ends.ours.get()) != 0) return false;
  // Through the master: no path, which a program in the sandbox could have replaced.
  ends.theirs.reset(::ioctl(ends.ours.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!ends.theirs) return false;
  winsize size{.ws_row = 24, .ws_col = 120, .ws_xpixel = 0, .ws_ypixel = 0};
  return ::ioctl(ends.ours.get(), TIOCSWINSZ, &size) == 0;
}

/// What exec gets, laid out before the fork.
struct Image {
  std::vector<std::string> paths;  ///< candidates for the program
  std::vector<std::string> variables;
  std::vector<char*> argv, envp;
};

Image make_image(const StartRequest& request) {
  Image image;
  const std::string& program = request.argv[0];
  if (program.contains('/')) {
    image.paths.push_back(program);
  } else {
    auto found = request.env.find("PATH");
    std::string path = found == request.env.end() ? kDefaultPath : found->second;
    for (std::size_t start = 0; start <= path.size();) {
      std::size_t end = std::min(path.find(':', start), path.size());
      if (end > start) image.paths.push_back(path.substr(start, end - start) + "/" + program);
      start = end + 1;
    }
  }
  for (const auto& [name, value] : request.env) image.variables.push_back(name + "=" + value);
  for (const std::string& word : request.argv)
    image.argv.push_back(const_cast<char*>(word.c_str()));
  if (!request.arg0.empty()) image.argv[0] = const_cast<char*>(request.arg0.c_str());
  image.argv.push_back(nullptr);
  for (std::string& variable : image.variables) image.envp.push_back(variable.data());
  image.envp.push_back(nullptr);
  return image;
}

/// Behind the fork: becomes the program, or says why not through `report` and ends.
[[noreturn]] void become(const StartRequest& request, const Image& image, int in, int out, int err,
                         int report) {
  auto give_up = [&](char step) {
    int reason[2] = {step, errno};
    ssize_t ignored = ::write(report, reason, sizeof reason);
    (void)ignored;
    ::_exit(127);
  };
  ::setsid();
  if (request.tty && ::ioctl(in, TIOCSCTTY, 0) != 0) give_up('t');
  // Above 0, 1 and 2 first: one of them may be a number that another wants.
  int high[3] = {::fcntl(in, F_DUPFD_CLOEXEC, 10), ::fcntl(out, F_DUPFD_CLOEXEC, 10),
                 ::fcntl(err, F_DUPFD_CLOEXEC, 10)};
  int high_report = ::fcntl(report, F_DUPFD_CLOEXEC, 10);
  for (int i = 0; i < 3; ++i) {
    if (high[i] < 0 || ::dup2(high[i], i) < 0) give_up('d');
  }
  report = high_report;
  if (::chdir(request.cwd.c_str()) != 0) give_up('c');
  for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::umask(022);
  int first_error = ENOENT;
  for (const std::string& path : image.paths) {
    ::execve(path.c_str(), image.argv.data(), image.envp.data());
    if (errno != ENOENT && errno != ENOTDIR) first_error = errno;
  }
  errno = first_error;
  give_up('x');
  ::_exit(127);
}

std::string why_not(const StartRequest& request, char step, int reason) {
  std::string text = std::strerror(reason);
  switch (step) {
    case 'c':
      return "the working directory " + request.cwd + " cannot be entered: " + text;
    case 'x':
      return "cannot run " + request.argv[0] + ": " + text;
    case 't':
      return "no terminal: " + text;
    default:
      return "no descriptors: " + text;
  }
}

}  // namespace

std::unique_ptr<Process> Process::start(StartRequest request, std::int64_t now_ms,
                                        std::string* error) {
  Ends input, output, errors, report;
  bool made = make_pipe(report, true);
  if (request.tty) {
    made = made && make_terminal(output);
  } else {
    made = made && make_pipe(output, true) && make_pipe(errors, true);
    if (request.pipe_stdin)
      made = made && make_pipe(input, false);
    else
      input.theirs.reset(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    made = made && input.theirs;
  }
  if (!made) {
    *error = std::string("no pipes for a process: ") + std::strerror(errno);
    return nullptr;
  }
  Image image = make_image(request);
  // Nobody forks while signals could run a handler of ours in the child: there are none.
  pid_t pid = ::fork();
  if (pid == 0) {
    int terminal = output.theirs.get();
    become(request, image, request.tty ? terminal : input.theirs.get(), terminal,
           request.tty ? terminal : errors.theirs.get(), report.theirs.get());
  }
  if (pid < 0) {
    *error = std::string("no process: ") + std::strerror(errno);
    return nullptr;
  }
  report.theirs.reset();
  int reason[2] = {0, 0};
  ssize_t got = 0;
  ::fcntl(report.ours.get(), F_SETFL, 0);
  do {
    got = ::read(report.ours.get(), reason, sizeof reason);
  } while (got < 0 && errno == EINTR);
  if (got == sizeof reason) {
    ::waitpid(pid, nullptr, 0);
    *error = why_not(request, static_cast<char>(reason[0]), reason[1]);
    return nullptr;
  }

  std::unique_ptr<Process> process(new Process);
  process->id_ = std::move(request.id);
  process->pid_ = pid;
  process->tty_ = request.tty;
  process->input_ = std::move(input.ours);
  process->output_ = std::move(output.ours);
  process->errors_ = std::move(errors.ours);
  if (request.timeout_ms > 0) process->deadline_ms_ = now_ms + request.timeout_ms;
  return process;
}

Process::~Process() {
  if (!exited_ && pid_ > 0) ::kill(-pid_, SIGKILL);
}

Process::Written Process::write(std::string_view bytes) {
  if (exited_ || close_wanted_ || stdin_number() < 0) return Written::kStdinClosed;
  if (queued_.size() + bytes.size() > kMaxQueuedInput) return Written::kFull;
  queued_ += bytes;
  flush_input();
  return Written::kAccepted;
}

void Process::close_stdin() {
  if (close_wanted_) return;
  if (tty_) {
    queued_ += '\x04';
  } else {
    close_wanted_ = true;
  }
  flush_input();
}

void Process::flush_input() {
  while (!queued_.empty()) {
    ssize_t written = ::write(stdin_number(), queued_.data(), queued_.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && errno == EAGAIN) return;
    if (written < 0) {
      queued_.clear();
      close_wanted_ = true;
      break;
    }
    queued_.erase(0, static_cast<std::size_t>(written));
  }
  if (close_wanted_) input_.reset();
}

bool Process::send_signal(int number) {
  // A process that has exited but not been waited for still owns its group's number.
  return !exited_ && ::kill(-pid_, number) == 0;
}

bool Process::terminate(std::int64_t now_ms) {
  if (!kill_ms_) kill_ms_ = now_ms + kTerminateGraceMs;
  bool running = send_signal(SIGTERM);
  if (running) ::kill(-pid_, SIGCONT);  // one that is stopped hears nothing
  return running;
}

const OutputPiece* Process::read_output(int descriptor) {
  Descriptor& from = descriptor == errors_.get() ? errors_ : output_;
  OutputStream stream = tty_                ? OutputStream::kPty
                        : &from == &errors_ ? OutputStream::kStderr
                                            : OutputStream::kStdout;
  char buffer[kOutputPieceBytes];
  ssize_t got = ::read(descriptor, buffer, sizeof buffer);
  if (got > 0) return &log_.add(stream, std::string(buffer, static_cast<std::size_t>(got)));
  if (got < 0 && (errno == EINTR || errno == EAGAIN)) return nullptr;
  from.reset();  // its end; a terminal that nobody has open any more says EIO
  return nullptr;
}

std::uint64_t Process::note_exit(int wait_status) {
  exited_ = true;
  signal_ = WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0;
  exit_code_ = signal_ ? 128 + signal_ : WEXITSTATUS(wait_status);
  // The rest of its group dies with it where it was to die.
  if (kill_ms_) ::kill(-pid_, SIGKILL);
  kill_ms_.reset();
  deadline_ms_.reset();
  input_.reset();
  queued_.clear();
  return log_.take_number();
}

std::optional<std::int64_t> Process::next_time() const {
  return kill_ms_ ? kill_ms_ : deadline_ms_;
}

void Process::on_time(std::int64_t now_ms) {
  if (kill_ms_ && now_ms >= *kill_ms_) {
    send_signal(SIGKILL);
    kill_ms_ = now_ms + kTerminateGraceMs;  // whoever joined the group in between
  } else if (deadline_ms_ && now_ms >= *deadline_ms_) {
    deadline_ms_.reset();
    timed_out_ = true;
    terminate(now_ms);
  }
}

}  // namespace perdure::executor::runner
