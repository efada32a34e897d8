#include "journal/postgres/readers.h"

#include <fmt/format.h>
#include <pthread.h>

#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>

#include "journal/postgres/limits.h"

namespace perdure::journal::postgres {
namespace asio = boost::asio;

// Tracked: a loop does not run out of work while a caller on it waits for the database.
Read::Read(async::Executor resume_on)
    : executor(asio::prefer(std::move(resume_on), asio::execution::outstanding_work.tracked)) {}

Readers::Readers(const Target& target) : target_(target) {
  for (std::size_t i = 0; i < kReaders; ++i) threads_.emplace_back([this] { serve(); });
}

Readers::~Readers() {
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
  }
  wake_.notify_all();
  interrupt_.raise();
  for (std::thread& thread : threads_) thread.join();
}

void Readers::add(std::unique_ptr<Read> read) {
  {
    std::lock_guard lock(mutex_);
    (read->length == Length::kShort ? short_ : lists_).push_back(std::move(read));
  }
  wake_.notify_one();
}

std::unique_ptr<Read> Readers::take() {
  std::unique_lock lock(mutex_);
  auto list_may_run = [this] {
    return !lists_.empty() && (ending_ || lists_running_ < kListReaders);
  };
  wake_.wait(lock, [&] { return ending_ || !short_.empty() || list_may_run(); });
  std::unique_ptr<Read> read;
  if (!short_.empty()) {
    read = std::move(short_.front());
    short_.pop_front();
  } else if (list_may_run()) {
    read = std::move(lists_.front());
    lists_.pop_front();
    ++lists_running_;
  }
  return read;
}

void Readers::serve() {
  pthread_setname_np(pthread_self(), "journal-reader");
  Link link(target_, interrupt_);
  while (std::unique_ptr<Read> read = take()) {
    answer(link, *read);
    if (read->length == Length::kList) {
      std::lock_guard lock(mutex_);
      --lists_running_;
    }
    wake_.notify_one();
    async::Executor executor = read->executor;
    async::post(executor, [done = std::move(read)] { done->resume(); });
  }
}

void Readers::answer(Link& link, Read& read) {
  std::vector<Statement> statements;
  statements.emplace_back("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
  statements.emplace_back(
      fmt::format("SELECT set_config('statement_timeout', '{}', true)", kStatementMs));
  statements.insert(statements.end(), read.statements().begin(), read.statements().end());
  statements.emplace_back("COMMIT");
  try {
    Outcome<Answers> answers = link.ask(statements, kAnswerMs);
    if (!answers) {
      // Nothing has a name that the database cannot hold.
      if (answers.error().sqlstate == "22021")
        return read.refuse({ErrorCode::kNotFound, "There is nothing of this name.", {}, {}});
      log::error("a read failed",
                 {{"sqlstate", answers.error().sqlstate}, {"error", answers.error().message}});
      return read.refuse(answers.error().to_error());
    }
    answers->erase(answers->begin(), answers->begin() + 2);
    answers->pop_back();
    read.finish(*answers);
  } catch (const std::exception& error) {
    log::error("a read failed", {{"error", error.what()}});
    read.refuse({ErrorCode::kInternal, "The store failed to read.", {}, {}});
  }
}

}  // namespace perdure::journal::postgres
