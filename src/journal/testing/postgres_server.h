// A PostgreSQL of the test program's own, for tests against the real thing: made in a temporary
// directory when first asked for, reached over a Unix socket there, gone with the program. Its
// settings are PostgreSQL's own, fsync included.
//
// As root it runs as the user `postgres`, since PostgreSQL refuses root.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace perdure::journal::testing {

class PostgresServer {
 public:
  /// The one of this program. Throws where PostgreSQL 15 is not installed.
  static PostgresServer& of_this_program();

  PostgresServer();
  ~PostgresServer();
  PostgresServer(const PostgresServer&) = delete;
  PostgresServer& operator=(const PostgresServer&) = delete;

  /// The URL of an empty database, perhaps one that was given back.
  std::string take_database();
  /// Nobody is connected to it any more.
  void give_back(const std::string& url);
  std::string url_of(const std::string& database) const;
  /// The directory of the socket `.s.PGSQL.5432`.
  const std::string& socket_directory() const { return directory_; }

  /// Ends it as a crash would: no checkpoint, clients cut off.
  void crash();
  void start();
  /// Runs SQL as the superuser.
  void execute(const std::string& database, const std::string& sql);
  /// The first column of the first row.
  std::string value(const std::string& database, const std::string& sql);

 private:
  std::string directory_;
  uid_t user_ = 0;
  gid_t group_ = 0;
  pid_t process_ = 0;
  int databases_ = 0;
  std::vector<std::string> free_;  // names
};

}  // namespace perdure::journal::testing
