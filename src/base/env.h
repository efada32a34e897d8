// The seam to the machine: time and randomness.
//
// Nothing outside base/ and main/ asks the operating system for the time or for random bytes; it
// asks an Env it was given. Tests and the simulation hand in one they control. An Env is owned by
// the composition root and outlives everything; its functions may be called from any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <string>

namespace perdure {

/// Milliseconds since 1970-01-01 UTC.
using UnixMillis = std::int64_t;

class Env {
 public:
  virtual ~Env() = default;
  /// The wall clock. It may jump; order is never derived from it.
  virtual UnixMillis now() = 0;
  /// Milliseconds since some moment of the past. Is never set, and goes on while the machine
  /// sleeps.
  virtual std::int64_t monotonic_ms() = 0;
  /// Fills `out` with unpredictable bytes (predictable ones in tests).
  virtual void random_bytes(std::span<std::uint8_t> out) = 0;

  std::uint64_t random_u64();
  /// `length` characters of [0-9a-z], 5 bits of entropy each.
  std::string random_token(std::size_t length);
};

/// The real machine.
class SystemEnv final : public Env {
 public:
  UnixMillis now() override;
  std::int64_t monotonic_ms() override;
  void random_bytes(std::span<std::uint8_t> out) override;
};

/// A clock that moves when told to and a generator that repeats for a seed.
class FakeEnv final : public Env {
 public:
  explicit FakeEnv(std::uint64_t seed = 1, UnixMillis start = 1'800'000'000'000)
      : state_(seed * 2 + 1), now_(start) {}
  UnixMillis now() override { return now_; }
  std::int64_t monotonic_ms() override { return now_; }
  void random_bytes(std::span<std::uint8_t> out) override;
  void advance(std::int64_t milliseconds) { now_ += milliseconds; }

 private:
  std::uint64_t state_;
  std::atomic<UnixMillis> now_;  // the writers of stores ask from their threads
};

}  // namespace perdure
