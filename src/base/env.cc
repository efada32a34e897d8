#include "base/env.h"

#include <openssl/rand.h>
#include <time.h>

#include <chrono>
#include <stdexcept>

namespace perdure {

std::uint64_t Env::random_u64() {
  std::uint8_t bytes[8];
  random_bytes(bytes);
  std::uint64_t value = 0;
  for (std::uint8_t byte : bytes) value = value << 8 | byte;
  return value;
}

std::string Env::random_token(std::size_t length) {
  static constexpr char kAlphabet[] = "0123456789abcdefghijklmnopqrstuv";
  std::string bytes(length, '\0');
  random_bytes({reinterpret_cast<std::uint8_t*>(bytes.data()), bytes.size()});
  for (char& c : bytes) c = kAlphabet[static_cast<std::uint8_t>(c) & 31];
  return bytes;
}

UnixMillis SystemEnv::now() {
  using namespace std::chrono;
  return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

std::int64_t SystemEnv::monotonic_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return std::int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

void SystemEnv::random_bytes(std::span<std::uint8_t> out) {
  if (RAND_bytes(out.data(), static_cast<int>(out.size())) != 1)
    throw std::runtime_error("the operating system gave no random bytes");
}

void FakeEnv::random_bytes(std::span<std::uint8_t> out) {
  for (std::uint8_t& byte : out) {  // xorshift64*
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    byte = static_cast<std::uint8_t>(state_ * 0x2545F4914F6CDD1DULL >> 56);
  }
}

}  // namespace perdure
