// Finding memories by their words: our index beside SQLite FTS5, over the same texts and questions.
#include <fmt/format.h>
#include <sqlite3.h>

#include <cmath>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/commands.h"
#include "bench/report.h"
#include "memory/namespace_index.h"

namespace perdure::bench {
namespace {

constexpr std::size_t kLimit = 10;
constexpr std::size_t kTurnsOfConversation = 20;

/// Words as people use them: few of them often. The most frequent say nothing, like "the".
class Words {
 public:
  explicit Words(std::uint32_t seed) : random_(seed) {}
  std::string next(bool telling) {
    constexpr double kVocabulary = 60'000;
    constexpr double kSayNothing = 60;
    std::uniform_real_distribution<double> even(0, 1);
    while (true) {
      const double rank = std::exp(even(random_) * std::log(kVocabulary));
      if (rank >= kSayNothing) return fmt::format("w{:.0f}q", rank);
      if (!telling) return "the";
    }
  }
  std::string text(std::size_t words, bool telling) {
    std::string text;
    for (std::size_t word = 0; word < words; ++word) text += next(telling) + ' ';
    return text;
  }
  std::size_t up_to(std::size_t most) { return 1 + random_() % most; }

 private:
  std::mt19937 random_;
};

struct Close {
  void operator()(sqlite3* database) const { sqlite3_close(database); }
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};

/// The same in SQLite: one full-text table in memory.
class Fts {
 public:
  Fts() {
    sqlite3* opened = nullptr;
    sqlite3_open(":memory:", &opened);
    database_.reset(opened);
    run("CREATE VIRTUAL TABLE text USING fts5 (body, tokenize = 'porter unicode61')");
    run("BEGIN");
    insert_ = prepare("INSERT INTO text (body) VALUES (?)");
    find_ = prepare("SELECT rowid FROM text WHERE text MATCH ? ORDER BY bm25(text) LIMIT 10");
  }
  void add(const std::string& text) { step(insert_.get(), text); }
  void commit() { run("COMMIT"); }
  void find(const std::string& question) {
    std::string match;
    for (std::size_t at = 0; at < question.size();) {
      const std::size_t end = question.find(' ', at);
      match += fmt::format("{}\"{}\"", match.empty() ? "" : " OR ", question.substr(at, end - at));
      at = end + 1;
    }
    step(find_.get(), match);
  }

 private:
  using Statement = std::unique_ptr<sqlite3_stmt, Close>;
  void check(int status) const {
    if (status != SQLITE_OK && status != SQLITE_DONE && status != SQLITE_ROW)
      throw std::runtime_error(sqlite3_errmsg(database_.get()));
  }
  void run(const char* sql) {
    check(sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr));
  }
  Statement prepare(const char* sql) {
    sqlite3_stmt* made = nullptr;
    check(sqlite3_prepare_v2(database_.get(), sql, -1, &made, nullptr));
    return Statement(made);
  }
  void step(sqlite3_stmt* statement, const std::string& text) {
    check(sqlite3_bind_text(statement, 1, text.data(), int(text.size()), SQLITE_TRANSIENT));
    int status = 0;
    while ((status = sqlite3_step(statement)) == SQLITE_ROW) continue;
    check(status);
    check(sqlite3_reset(statement));
  }
  std::unique_ptr<sqlite3, Close> database_;
  Statement insert_, find_;
};

double per_second(std::size_t count, std::int64_t nanoseconds) {
  return double(count) * 1e9 / double(nanoseconds);
}

}  // namespace

void memory(const Arguments& arguments) {
  const auto records = static_cast<std::size_t>(arguments.number("records"));
  const auto questions = static_cast<std::size_t>(arguments.number("questions", 200));
  Words words(1);
  std::vector<std::string> texts;
  for (std::size_t at = 0; at < records; ++at) texts.push_back(words.text(words.up_to(24), false));
  std::vector<std::string> asked;
  for (std::size_t at = 0; at < questions; ++at) asked.push_back(words.text(words.up_to(8), true));

  Report report;
  auto analyzer = perdure::memory::Analyzer::make("english");
  perdure::memory::NamespaceIndex index(analyzer->get());
  std::int64_t began = monotonic_ns();
  for (std::size_t at = 0; at < records; ++at)
    index.add({.text = texts[at],
               .conversation = std::to_string(at / kTurnsOfConversation),
               .speaker = at % 2 ? "Ann" : "Bob",
               .role = perdure::memory::Speaking::kUser});
  report.add("ingest_per_s", per_second(records, monotonic_ns() - began));
  perdure::memory::Scratch scratch;
  std::vector<std::int64_t> durations;
  for (const std::string& question : asked) {
    began = monotonic_ns();
    index.search(question, kLimit, nullptr, &scratch);
    durations.push_back(monotonic_ns() - began);
  }
  report.latencies("find", std::move(durations));
  if (arguments.has("fts")) {
    Fts fts;
    began = monotonic_ns();
    for (const std::string& text : texts) fts.add(text);
    fts.commit();
    report.add("fts_ingest_per_s", per_second(records, monotonic_ns() - began));
    std::vector<std::int64_t> theirs;
    for (const std::string& question : asked) {
      began = monotonic_ns();
      fts.find(question);
      theirs.push_back(monotonic_ns() - began);
    }
    report.latencies("fts", std::move(theirs));
  }
  report.print();
}

}  // namespace perdure::bench
