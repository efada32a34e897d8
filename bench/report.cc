#include "bench/report.h"

#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <stdexcept>

namespace perdure::bench {
namespace {

std::int64_t read_clock(clockid_t clock) {
  timespec now{};
  if (::clock_gettime(clock, &now) != 0) throw std::runtime_error("a clock cannot be read");
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

std::int64_t monotonic_ns() {
  return read_clock(CLOCK_MONOTONIC);
}

std::int64_t process_cpu_ns(int pid) {
  clockid_t clock{};
  if (::clock_getcpuclockid(pid, &clock) != 0)
    throw std::runtime_error("there is no process " + std::to_string(pid));
  return read_clock(clock);
}

void Report::key(std::string_view name) {
  text_ += fmt::format("{}\"{}\": ", text_.empty() ? "{" : ", ", name);
}

Report& Report::add(std::string_view name, double value) {
  key(name);
  text_ += fmt::format("{}", value);
  return *this;
}

Report& Report::add(std::string_view name, const std::vector<std::int64_t>& values) {
  key(name);
  text_ += fmt::format("[{}]", fmt::join(values, ", "));
  return *this;
}

Report& Report::latencies(std::string_view name, std::vector<std::int64_t> durations) {
  std::ranges::sort(durations);
  const auto at = [&](double share) {
    if (durations.empty()) return 0.0;
    auto index = static_cast<std::size_t>(share * static_cast<double>(durations.size() - 1));
    return static_cast<double>(durations[index]) / 1000.0;
  };
  add(fmt::format("{}_p50_us", name), at(0.5));
  add(fmt::format("{}_p99_us", name), at(0.99));
  return add(fmt::format("{}_count", name), static_cast<double>(durations.size()));
}

void Report::print() const {
  std::puts((text_ + "}").c_str());
  std::fflush(stdout);
}

}  // namespace perdure::bench
