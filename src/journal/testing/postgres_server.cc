#include "journal/testing/postgres_server.h"

#include <fcntl.h>
#include <grp.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <thread>
#include <vector>

namespace perdure::journal::testing {
namespace {

constexpr const char* kPrograms = "/usr/lib/postgresql/15/bin/";
constexpr const char* kRole = "tester";

/// The first directory that another user can reach, since as root the server is another user.
std::filesystem::path reachable_directory() {
  auto reachable = [](std::filesystem::path path) {
    for (; path != path.root_path(); path = path.parent_path()) {
      struct stat status{};
      if (::stat(path.c_str(), &status) != 0 || !(status.st_mode & S_IXOTH)) return false;
    }
    return true;
  };
  std::filesystem::path preferred = std::filesystem::temp_directory_path();
  if (::geteuid() != 0 || reachable(preferred)) return preferred;
  return "/var/tmp";
}

/// Runs a program of PostgreSQL's as `user`, its output into `log`; its process.
pid_t run(const std::string& name, std::vector<std::string> arguments, uid_t user, gid_t group,
          const std::string& directory) {
  std::string program = kPrograms + name;
  std::string log = directory + "/log";
  std::vector<char*> raw = {program.data()};
  for (std::string& argument : arguments) raw.push_back(argument.data());
  raw.push_back(nullptr);
  pid_t parent = ::getpid();
  pid_t child = ::fork();
  if (child != 0) return child;
  int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  ::dup2(out, STDOUT_FILENO);
  ::dup2(out, STDERR_FILENO);
  if (::geteuid() == 0 &&
      (::setgroups(0, nullptr) != 0 || ::setgid(group) != 0 || ::setuid(user) != 0))
    ::_exit(126);
  ::prctl(PR_SET_PDEATHSIG, SIGQUIT);  // it ends with us, whatever ends us
  if (::getppid() != parent) ::_exit(125);
  if (::chdir("/") != 0) ::_exit(124);
  ::execv(program.c_str(), raw.data());
  ::_exit(127);
}

int wait_for(pid_t process) {
  int status = 0;
  while (::waitpid(process, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

std::string contents(const std::string& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

PostgresServer& PostgresServer::of_this_program() {
  static PostgresServer server;
  return server;
}

PostgresServer::PostgresServer() {
  if (::geteuid() == 0) {
    const passwd* entry = ::getpwnam("postgres");
    if (!entry) throw std::runtime_error("there is no user postgres; scripts/setup.sh test");
    user_ = entry->pw_uid;
    group_ = entry->pw_gid;
  }
  std::string pattern = reachable_directory() / "perdure-postgres-XXXXXX";
  directory_ = ::mkdtemp(pattern.data());
  if (user_ != 0 && ::chown(directory_.c_str(), user_, group_) != 0)
    throw std::runtime_error("the directory of the database could not be given away");
  pid_t initdb = run("initdb",
                     {"-D", directory_ + "/data", "-U", kRole, "-A", "trust", "-E", "UTF8",
                      "--no-locale", "--no-sync"},
                     user_, group_, directory_);
  if (wait_for(initdb) != 0)
    throw std::runtime_error("initdb failed; scripts/setup.sh test installs it\n" +
                             contents(directory_ + "/log"));
  // For tests of passwords; all others come in without.
  std::string rules = directory_ + "/data/pg_hba.conf";
  std::string known = contents(rules);
  std::ofstream(rules) << "local all stranger scram-sha-256\n" << known;
  start();
}

PostgresServer::~PostgresServer() {
  if (process_ != 0) crash();
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

void PostgresServer::start() {
  process_ = run(
      "postgres",
      {"-D", directory_ + "/data", "-k", directory_, "-c", "listen_addresses=", "-c",
       "shared_buffers=16MB", "-c", "max_connections=40", "-c", "recovery_init_sync_method=syncfs"},
      user_, group_, directory_);
  for (int i = 0; i < 6000; ++i) {  // a hang only: recovery may flush much to a busy disk
    PGPing state = PQping(url_of("postgres").c_str());
    if (state == PQPING_OK) return;
    if (::waitpid(process_, nullptr, WNOHANG) != 0) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  throw std::runtime_error("PostgreSQL did not start\n" + contents(directory_ + "/log"));
}

void PostgresServer::crash() {
  ::kill(process_, SIGQUIT);
  wait_for(process_);
  process_ = 0;
}

std::string PostgresServer::url_of(const std::string& database) const {
  // Patient: a loaded machine may need its time.
  return std::string("postgresql://") + kRole + "@/" + database + "?host=" + directory_ +
         "&connect_timeout=60";
}

std::string PostgresServer::take_database() {
  if (free_.empty()) {
    std::string name = "test" + std::to_string(++databases_);
    execute("postgres", "CREATE DATABASE " + name);
    return url_of(name);
  }
  std::string name = std::move(free_.back());
  free_.pop_back();
  execute("postgres", "ALTER DATABASE " + name + " RESET ALL");
  execute(name,
          "SET client_min_messages = warning; DROP SCHEMA public CASCADE; CREATE SCHEMA public");
  return url_of(name);
}

void PostgresServer::give_back(const std::string& url) {
  std::size_t begin = url.find("@/") + 2;
  free_.push_back(url.substr(begin, url.find('?') - begin));
}

void PostgresServer::execute(const std::string& database, const std::string& sql) {
  value(database, sql);
}

std::string PostgresServer::value(const std::string& database, const std::string& sql) {
  PGconn* connection = PQconnectdb(url_of(database).c_str());
  PGresult* result = PQexec(connection, sql.c_str());
  std::string error = PQerrorMessage(connection);
  std::string value = PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "";
  PQclear(result);
  PQfinish(connection);
  if (!error.empty()) throw std::runtime_error(error);
  return value;
}

}  // namespace perdure::journal::testing
