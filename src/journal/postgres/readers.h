// The connections that read, each with a thread of its own.
//
// A query's statements run in one read-only transaction that sees one state, in one round trip. A
// query whose connection breaks is asked once more over a new one; when the database stays away it
// is kUnavailable at once until the next attempt to connect is due. Lists never take all the
// threads, so a session is read while lists are. Connections are made when they are first needed.
//
// Owned by the PostgresJournal. Callers are resumed on their own executors; what still waits at the
// end gets kUnavailable.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "async/handover.h"
#include "base/log.h"
#include "journal/postgres/link.h"
#include "journal/postgres/reads.h"

namespace perdure::journal::postgres {

enum class Length { kShort, kList };

/// One waiting query. All but `resume` is called on a reader's thread.
class Read {
 public:
  explicit Read(async::Executor resume_on);
  virtual ~Read() = default;
  virtual const std::vector<Statement>& statements() const = 0;
  virtual void finish(const Answers& answers) = 0;
  virtual void refuse(Error error) = 0;
  virtual void resume() = 0;

  async::Executor executor;
  Length length = Length::kShort;
};

template <class T>
class PendingRead final : public Read {
 public:
  using Handler = std::move_only_function<void(Result<T>)>;
  PendingRead(async::Executor resume_on, Query<T> query, Handler handler)
      : Read(std::move(resume_on)), query_(std::move(query)), handler_(std::move(handler)) {}

  const std::vector<Statement>& statements() const override { return query_.statements; }
  void finish(const Answers& answers) override { result_.emplace(query_.answer(answers)); }
  void refuse(Error error) override { result_.emplace(std::unexpected(std::move(error))); }
  void resume() override { std::exchange(handler_, nullptr)(std::move(*result_)); }

 private:
  Query<T> query_;
  Handler handler_;
  std::optional<Result<T>> result_;
};

class Readers {
 public:
  explicit Readers(const Target& target);
  ~Readers();
  void add(std::unique_ptr<Read> read);

 private:
  std::unique_ptr<Read> take();
  void serve();
  void answer(Link& link, Read& read);

  const Target& target_;
  Interrupt interrupt_;
  std::mutex mutex_;  // of what follows
  std::condition_variable wake_;
  std::deque<std::unique_ptr<Read>> short_, lists_;
  std::size_t lists_running_ = 0;
  bool ending_ = false;

  std::vector<std::thread> threads_;
};

template <class T>
Task<Result<T>> run(Readers* readers, Length length, Query<T> query) {
  auto start = [&](async::Executor executor, typename PendingRead<T>::Handler resume) {
    auto read = std::make_unique<PendingRead<T>>(executor, std::move(query), std::move(resume));
    read->length = length;
    readers->add(std::move(read));
  };
  co_return co_await async::hand_over<Result<T>>(std::move(start));
}

}  // namespace perdure::journal::postgres
