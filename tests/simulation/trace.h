// What happened in a run, in order: for people, and as a digest by which two runs of a seed are
// compared.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <vector>

#include "time.h"

namespace perdure::simulation {

class Trace {
 public:
  explicit Trace(bool aloud) : aloud_(aloud) {}

  template <class... Args>
  void say(fmt::format_string<Args...> format, Args&&... args) {
    line(fmt::format(format, std::forward<Args>(args)...));
  }
  /// What must never happen has happened.
  template <class... Args>
  void wrong(fmt::format_string<Args...> format, Args&&... args) {
    std::string what = fmt::format(format, std::forward<Args>(args)...);
    line("WRONG " + what);
    if (wrongs_.size() < kWrongsKept) wrongs_.push_back(std::move(what));
  }

  const std::vector<std::string>& wrongs() const { return wrongs_; }
  std::uint64_t digest() const { return digest_; }

 private:
  static constexpr std::size_t kWrongsKept = 5;

  void line(const std::string& text) {
    for (char c : text + std::to_string(now_ms())) {  // FNV-1a
      digest_ ^= static_cast<unsigned char>(c);
      digest_ *= 0x100000001b3ULL;
    }
    if (aloud_) fmt::print("{:>8} {}\n", now_ms(), text);
  }

  bool aloud_;
  std::uint64_t digest_ = 0xcbf29ce484222325ULL;
  std::vector<std::string> wrongs_;
};

}  // namespace perdure::simulation
