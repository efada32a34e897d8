// What a command prints: one JSON object of numbers and lists of numbers.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace perdure::bench {

/// CLOCK_MONOTONIC in nanoseconds: the same for every process of a machine.
std::int64_t monotonic_ns();
/// Processor time that another process has used, all its threads together.
std::int64_t process_cpu_ns(int pid);

class Report {
 public:
  Report& add(std::string_view name, double value);
  Report& add(std::string_view name, const std::vector<std::int64_t>& values);
  /// `<name>_p50_us`, `<name>_p99_us` and `<name>_count` of durations in nanoseconds.
  Report& latencies(std::string_view name, std::vector<std::int64_t> durations);
  void print() const;

 private:
  void key(std::string_view name);

  std::string text_;
};

}  // namespace perdure::bench
