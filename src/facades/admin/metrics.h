// The text of /metrics: Prometheus exposition format 0.0.4.
//
// A pure function of the numbers it is given. Names and meanings are documented in
// docs/operations/metrics.md; a name is never reused for another meaning.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/env.h"
#include "engine/engine.h"
#include "journal/journal.h"
#include "models/pool.h"

namespace perdure::facades::admin {

/// What the operating system says of this process.
struct ProcessNumbers {
  double cpu_seconds = 0;
  std::uint64_t resident_bytes = 0;
  std::uint64_t open_files = 0;
  UnixMillis started = 0;
};

struct HttpNumbers {
  std::array<std::uint64_t, 6> requests_by_class{};  ///< [2]: answered 2xx; [0]: unused
  std::uint64_t handlers_running = 0;
  std::uint64_t connections = 0;
};

struct Numbers {
  std::string version;
  bool ready = false;
  ProcessNumbers process;
  HttpNumbers http;
  journal::StoreStats store;
  engine::Counters engine;
  std::uint64_t stops_in_force = 0;
  std::vector<models::PoolStatus> pools;
};

std::string metrics_text(const Numbers& numbers);

}  // namespace perdure::facades::admin
