#include "cli/migrate_command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>

#include "base/log.h"
#include "cli/exit_code.h"
#include "cli/output.h"
#include "cli/printing.h"

namespace perdure::cli {
namespace {

/// One line that is written over, a few times a second.
class ProgressLine {
 public:
  ~ProgressLine() {
    if (shown_) fmt::print(stderr, "\r\x1b[K");
  }
  ProgressLine() = default;
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  template <class Progress>
  void show(const Progress& progress) {
    const auto now = std::chrono::steady_clock::now();
    if (shown_ && now - last_ < std::chrono::milliseconds(200)) return;
    last_ = now;
    shown_ = true;
    fmt::print(stderr, "\r\x1b[K{} {}: {} rows, {} MiB", progress.step, progress.table,
               progress.rows, progress.bytes >> 20);
    std::fflush(stderr);
  }

 private:
  bool shown_ = false;
  std::chrono::steady_clock::time_point last_;
};

template <class Summary>
int print_summary(const Summary& summary, bool as_json) {
  if (as_json) {
    json::array tables;
    for (const auto& table : summary.tables)
      tables.push_back(json::object{{"table", table.name},
                                    {"rows", table.rows},
                                    {"bytes", table.bytes},
                                    {"sha256", table.digest}});
    return print_json(json::object{{"from", summary.from},
                                   {"to", summary.to},
                                   {"kept_source", summary.kept_source},
                                   {"tables", std::move(tables)}});
  }
  std::vector<TableRow> rows;
  rows.reserve(summary.tables.size());
  for (const auto& table : summary.tables)
    rows.push_back({table.name, fmt::format("{}", table.rows), fmt::format("{}", table.bytes),
                    table.digest.substr(0, 16)});
  fmt::print("{}", table({"TABLE", "ROWS", "BYTES", "SHA-256, SAME ON BOTH SIDES"}, rows));
  fmt::print(stderr, "{} {} to {}.\n", summary.kept_source ? "Copied" : "Moved", summary.from,
             summary.to);
  return kDone;
}

}  // namespace

int migrate_store(const app::MigrateFlags& flags, bool as_json,
                  const app::Environment& environment) {
  // The one sentence at the end says it.
  log::configure(log::Level::kOff, log::Format::kText);
  app::MigrateEnd end = [&] {
    ProgressLine line;
    if (::isatty(STDERR_FILENO) == 0) return app::migrate(flags, environment, nullptr);
    return app::migrate(flags, environment, [&line](const auto& progress) { line.show(progress); });
  }();
  if (end.summary) return print_summary(*end.summary, as_json);
  fmt::print(stderr, "perdure: {}\n", end.summary.error().message);
  if (end.signal != 0) return 128 + end.signal;
  return end.summary.error().code == ErrorCode::kInvalidArgument ? kUsage : kFailed;
}

}  // namespace perdure::cli
