// The read-only connections of an embedded store.
//
// One of them answers short reads (a session, a page of entries) where they are asked, on the loop;
// the others serve lists on the blocking pool, so a long list never keeps a short read waiting.
// Each read is one read transaction that ends before the call returns: a reader that stays keeps
// the write-ahead log from being emptied. May be used from any thread.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <type_traits>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "journal/sqlite/database.h"

namespace perdure::journal::sqlite {

template <class T>
struct AnswerOf {
  using type = Result<T>;
};
template <class T>
struct AnswerOf<Result<T>> {
  using type = Result<T>;
};

class ReadPool {
 public:
  /// Throws DatabaseError. `connections` >= 2.
  ReadPool(const std::string& path, std::size_t connections, const std::string& vfs);

  /// work(connection) -> T or Result<T>, here and now.
  template <class Work>
  auto short_read(Work work) {
    std::lock_guard lock(short_mutex_);
    return read(*short_, work);
  }

  /// The same on one of the other connections, waiting for a free one.
  template <class Work>
  auto long_read(Work work) {
    Lease lease(*this);
    return read(*lease.connection, work);
  }

 private:
  struct Lease {
    explicit Lease(ReadPool& from);
    ~Lease();
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    ReadPool& pool;
    std::unique_ptr<Connection> connection;
  };

  template <class Work>
  static auto read(Connection& connection, Work& work) ->
      typename AnswerOf<std::invoke_result_t<Work&, Connection&>>::type {
    try {
      Transaction transaction(connection, Access::kRead);
      return work(connection);
    } catch (const DatabaseError& error) {
      log::error("a read failed", {{"error", error.what()}});
      return std::unexpected(error.to_error());
    }
  }

  std::mutex short_mutex_;
  std::unique_ptr<Connection> short_;
  std::mutex mutex_;
  std::condition_variable free_again_;
  std::vector<std::unique_ptr<Connection>> free_;
};

}  // namespace perdure::journal::sqlite
