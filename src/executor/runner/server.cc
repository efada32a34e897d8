#include "executor/runner/server.h"

#include <fcntl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "executor/runner/limits.h"

namespace perdure::executor::runner {
namespace {

std::int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

std::string_view name_of(OutputStream stream) {
  switch (stream) {
    case OutputStream::kStdout:
      return "stdout";
    case OutputStream::kStderr:
      return "stderr";
    case OutputStream::kPty:
      return "pty";
  }
  return "stdout";
}

std::string piece_members(const OutputPiece& piece) {
  std::string text = R"("seq":)" + std::to_string(piece.seq) + R"(,"stream":")";
  text += name_of(piece.stream);
  text += R"(","chunk":")" + to_base64(piece.bytes) + '"';
  return text;
}

}  // namespace

int serve(const ServeSettings& settings) {
  auto files = Files::open(settings.roots);
  if (!files) {
    std::fprintf(stderr, "perdure-runner: %s\n", files.error().c_str());
    return 1;
  }
  sigset_t children;
  ::sigemptyset(&children);
  ::sigaddset(&children, SIGCHLD);
  ::sigprocmask(SIG_BLOCK, &children, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  Descriptor signals(::signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals) return 1;
  ::fcntl(settings.control, F_SETFD, FD_CLOEXEC);
  return Server(Descriptor(settings.control), std::move(signals), std::move(*files),
                settings.roots.at(0))
      .run();
}

Server::Server(Descriptor control, Descriptor child_signals, Files files, std::string home)
    : control_(std::move(control)),
      child_signals_(std::move(child_signals)),
      files_(std::move(files)),
      home_(std::move(home)) {}

int Server::run() {
  std::vector<pollfd> polled;
  while (true) {
    collect(polled);
    if (::poll(polled.data(), polled.size(), wait_ms()) < 0 && errno != EINTR) return 1;
    auto ready = [&](int descriptor, short events) {
      return std::ranges::any_of(polled, [&](const pollfd& each) {
        return each.fd == descriptor && (each.revents & (events | POLLHUP | POLLERR)) != 0;
      });
    };
    if (ready(control_.get(), POLLIN) && !accept_connection()) return 0;
    for (Session& session : sessions_) {
      for (auto& [id, process] : session.processes) {
        for (int descriptor : {process->output_descriptor(), process->error_descriptor()}) {
          if (descriptor < 0 || !ready(descriptor, POLLIN)) continue;
          if (const OutputPiece* piece = process->read_output(descriptor))
            tell_output(session, *process, *piece);
        }
        if (int input = process->input_descriptor(); input >= 0 && ready(input, POLLOUT))
          process->flush_input();
      }
    }
    if (ready(child_signals_.get(), POLLIN)) reap();
    for (Session& session : sessions_) {
      for (auto& [id, process] : session.processes) tell_closed(session, *process);
    }
    on_time();
    for (Connection& connection : connections_) {
      if (ready(connection.socket.get(), POLLIN)) read_from(connection);
    }
    serve_reads();
    for (Connection& connection : connections_) write_to(connection);
    drop_broken();
  }
}

/// Output waits in the pipes while the one who is to read it does not.
bool Server::holds_output_up(const Session& session) const {
  return session.connection && session.connection->out.size() > kMaxQueuedBytes;
}

void Server::collect(std::vector<pollfd>& polled) {
  polled.clear();
  polled.push_back({control_.get(), POLLIN, 0});
  polled.push_back({child_signals_.get(), POLLIN, 0});
  for (const Connection& connection : connections_) {
    // A client that does not read its answers may not ask for more either.
    short events = connection.out.size() > kMaxMessageBytes ? 0 : POLLIN;
    if (!connection.out.empty()) events |= POLLOUT;
    polled.push_back({connection.socket.get(), events, 0});
  }
  for (const Session& session : sessions_) {
    bool held = holds_output_up(session);
    for (const auto& [id, process] : session.processes) {
      int output = process->output_descriptor(), errors = process->error_descriptor();
      int input = process->input_descriptor();
      short wanted = input >= 0 && input == output ? POLLOUT : 0;  // a terminal
      if (output >= 0 && (!held || wanted != 0))
        polled.push_back({output, static_cast<short>((held ? 0 : POLLIN) | wanted), 0});
      if (errors >= 0 && !held) polled.push_back({errors, POLLIN, 0});
      if (input >= 0 && input != output) polled.push_back({input, POLLOUT, 0});
    }
  }
}

int Server::wait_ms() const {
  std::int64_t first = INT64_MAX;
  for (const PendingRead& read : pending_) first = std::min(first, read.until_ms);
  for (const Session& session : sessions_) {
    for (const auto& [id, process] : session.processes)
      first = std::min(first, process->next_time().value_or(INT64_MAX));
  }
  if (first == INT64_MAX) return -1;
  return static_cast<int>(std::clamp<std::int64_t>(first - now_ms(), 0, 60'000));
}

bool Server::accept_connection() {
  char byte = 0;
  iovec content{&byte, 1};
  alignas(cmsghdr) char room[CMSG_SPACE(sizeof(int))];
  msghdr message{};
  message.msg_iov = &content;
  message.msg_iovlen = 1;
  message.msg_control = room;
  message.msg_controllen = sizeof room;
  ssize_t got = ::recvmsg(control_.get(), &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  if (got == 0) return false;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (!header || header->cmsg_type != SCM_RIGHTS) return true;
  int number = -1;
  std::memcpy(&number, CMSG_DATA(header), sizeof number);
  Descriptor socket(number);
  if (connections_.size() >= kMaxConnections) return true;
  ::fcntl(number, F_SETFL, O_NONBLOCK);
  connections_.emplace_back().socket = std::move(socket);
  return true;
}

void Server::read_from(Connection& connection) {
  char buffer[64 << 10];
  ssize_t got = ::read(connection.socket.get(), buffer, sizeof buffer);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) {
    connection.broken = true;
    return;
  }
  std::size_t scanned = connection.in.size();
  connection.in.append(buffer, static_cast<std::size_t>(got));
  std::size_t start = 0;
  for (std::size_t end = connection.in.find('\n', scanned); end != std::string::npos;
       end = connection.in.find('\n', start)) {
    std::string_view line = std::string_view(connection.in).substr(start, end - start);
    if (!line.empty()) handle(connection, line);
    start = end + 1;
  }
  connection.in.erase(0, start);
  if (connection.in.size() > kMaxMessageBytes) connection.broken = true;
}

void Server::write_to(Connection& connection) {
  std::size_t sent = 0;
  while (sent < connection.out.size()) {
    ssize_t written = ::send(connection.socket.get(), connection.out.data() + sent,
                             connection.out.size() - sent, MSG_NOSIGNAL);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      if (errno != EAGAIN) connection.broken = true;
      break;
    }
    sent += static_cast<std::size_t>(written);
  }
  connection.out.erase(0, sent);
}

void Server::reap() {
  signalfd_siginfo ignored;
  while (::read(child_signals_.get(), &ignored, sizeof ignored) > 0) {
  }
  // As the sandbox's init it is also the parent of whoever lost theirs.
  int status = 0;
  for (pid_t pid = ::waitpid(-1, &status, WNOHANG); pid > 0;
       pid = ::waitpid(-1, &status, WNOHANG)) {
    for (Session& session : sessions_) {
      for (auto& [id, process] : session.processes) {
        if (process->pid() != pid || process->exited()) continue;
        // What it wrote before it ended lies in the pipes and comes before its end.
        for (int descriptor : {process->output_descriptor(), process->error_descriptor()}) {
          if (descriptor < 0 || holds_output_up(session)) continue;
          // No more than a pipe holds: somebody else may go on writing to it.
          for (int reads = 0; reads < 32 && !holds_output_up(session); ++reads) {
            const OutputPiece* piece = process->read_output(descriptor);
            if (!piece) break;
            tell_output(session, *process, *piece);
          }
        }
        std::uint64_t seq = process->note_exit(status);
        std::string params = R"("processId":)" + quoted(id) + R"(,"seq":)" + std::to_string(seq) +
                             R"(,"exitCode":)" + std::to_string(process->exit_code());
        if (process->signal() != 0) params += R"(,"signal":)" + std::to_string(process->signal());
        if (process->timed_out()) params += R"(,"timedOut":true)";
        notify(session, "process/exited", params);
      }
    }
  }
}

void Server::on_time() {
  std::int64_t now = now_ms();
  for (Session& session : sessions_) {
    for (auto& [id, process] : session.processes) process->on_time(now);
  }
}

void Server::drop_broken() {
  std::erase_if(pending_, [](const PendingRead& read) { return read.connection->broken; });
  for (Connection& connection : connections_) {
    if (connection.broken && connection.session) connection.session->connection = nullptr;
  }
  std::erase_if(connections_, [](const Connection& connection) { return connection.broken; });
}

// --- messages ----------------------------------------------------------------------------------

void Server::send(Connection& connection, std::string_view message) {
  connection.out += message;
  connection.out += '\n';
}

void Server::answer(Connection& connection, const std::string& id, const Answer& answer) {
  if (answer)
    send(connection, R"({"id":)" + id + R"(,"result":)" + *answer + "}");
  else
    send(connection, R"({"id":)" + id + R"(,"error":{"code":)" +
                         std::to_string(answer.error().code) + R"(,"message":)" +
                         quoted(answer.error().message) + "}}");
}

void Server::notify(Session& session, std::string_view method, const std::string& params) {
  if (!session.connection) return;
  send(*session.connection,
       R"({"method":")" + std::string(method) + R"(","params":{)" + params + "}}");
}

void Server::tell_output(Session& session, Process& process, const OutputPiece& piece) {
  notify(session, "process/output",
         R"("processId":)" + quoted(process.id()) + "," + piece_members(piece));
}

void Server::tell_closed(Session& session, Process& process) {
  if (!process.closed() || process.closed_seq) return;
  process.closed_seq = process.log().take_number();
  notify(session, "process/closed",
         R"("processId":)" + quoted(process.id()) + R"(,"seq":)" +
             std::to_string(*process.closed_seq));
}

void Server::handle(Connection& connection, std::string_view line) {
  std::string error;
  auto message = Json::parse(line, &error);
  const Json* method = message ? message->find("method") : nullptr;
  const Json* id = message ? message->find("id") : nullptr;
  if (!method || !method->as_string()) {
    if (error.empty()) error = "a message without a method";
    answer(connection, id ? id->as_id() : "-1", std::unexpected(Problem{-32600, error}));
    return;
  }
  std::string_view name = *method->as_string();
  if (!id) {
    if (name != "initialized")
      answer(connection, "-1",
             std::unexpected(Problem{-32600, "no such notification: " + std::string(name)}));
    return;
  }
  const Json* params = message->find("params");
  if (!params || !params->is_object()) {
    answer(connection, id->as_id(), std::unexpected(Problem{-32602, "params is no object"}));
    return;
  }
  if (!connection.session && name != "initialize") {
    answer(connection, id->as_id(), std::unexpected(Problem{-32600, "initialize comes first"}));
    return;
  }
  if (name == "process/read") {
    process_read(connection, id->as_id(), *params);
    return;
  }
  Method run = method_of(name);
  if (!run) {
    answer(connection, id->as_id(),
           std::unexpected(Problem{-32601, "no such method: " + std::string(name)}));
    return;
  }
  answer(connection, id->as_id(), (this->*run)(connection, *params));
}

// --- process/read: the one method that may wait --------------------------------------------------

bool Server::has_news(const Process& process, std::uint64_t after) {
  return process.log().next_seq() > after + 1 || process.closed_seq.has_value();
}

std::string Server::read_result(const Process& process, std::uint64_t after,
                                std::size_t max_bytes) const {
  OutputLog::Answer found = process.log().read(after, max_bytes);
  std::string text = R"({"chunks":[)";
  for (std::size_t i = 0; i < found.pieces.size(); ++i)
    text += (i == 0 ? "{" : ",{") + piece_members(*found.pieces[i]) + "}";
  std::uint64_t next = found.more ? found.pieces.back()->seq + 1 : process.log().next_seq();
  auto flag = [](bool value) { return value ? "true" : "false"; };
  text += R"(],"nextSeq":)" + std::to_string(next) + R"(,"exited":)" + flag(process.exited()) +
          R"(,"exitCode":)" + (process.exited() ? std::to_string(process.exit_code()) : "null") +
          R"(,"closed":)" + flag(process.closed_seq.has_value()) + R"(,"failure":null)";
  if (process.signal() != 0) text += R"(,"signal":)" + std::to_string(process.signal());
  if (process.timed_out()) text += R"(,"timedOut":true)";
  return text + R"(,"droppedBytes":)" + std::to_string(process.log().dropped_bytes()) + "}";
}

void Server::serve_reads() {
  std::int64_t now = now_ms();
  for (auto read = pending_.begin(); read != pending_.end();) {
    Session& session = *read->connection->session;
    auto found = session.processes.find(read->process_id);
    if (found == session.processes.end()) {
      answer(*read->connection, read->id,
             std::unexpected(Problem{-32602, "no such process: " + read->process_id}));
    } else if (now < read->until_ms && !has_news(*found->second, read->after)) {
      ++read;
      continue;
    } else {
      answer(*read->connection, read->id,
             read_result(*found->second, read->after, read->max_bytes));
    }
    read = pending_.erase(read);
  }
}

void Server::process_read(Connection& connection, const std::string& id, const Json& params) {
  auto refuse = [&](std::string why) {
    answer(connection, id, std::unexpected(Problem{-32602, std::move(why)}));
  };
  const Json* process_id = params.find("processId");
  if (!process_id || !process_id->as_string()) return refuse("processId is no string");
  auto count = [&](std::string_view name, std::int64_t absent, bool* good) {
    const Json* value = params.find(name);
    auto number = value ? value->as_count() : absent;
    if (!number) *good = false;
    return number.value_or(absent);
  };
  bool good = true;
  std::int64_t after = count("afterSeq", 0, &good);
  std::int64_t bytes = count("maxBytes", kMaxReadBytes, &good);
  std::int64_t wait = count("waitMs", 0, &good);
  if (!good) return refuse("afterSeq, maxBytes and waitMs are whole numbers of 0 or more");
  if (pending_.size() >= kMaxPendingReads) return refuse("too many reads are waiting");
  pending_.push_back({&connection, id, std::string(*process_id->as_string()),
                      static_cast<std::uint64_t>(after),
                      std::min(static_cast<std::size_t>(bytes), kMaxReadBytes),
                      now_ms() + std::min(wait, kMaxReadWaitMs)});
}

}  // namespace perdure::executor::runner
