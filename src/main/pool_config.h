// The part of perdure.toml about capacity: [[pool]], and what a [[provider]] says of its calls.
//
// Plain values, read once at start by config.cc. A mistake is a sentence that names file and line.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "http/client.h"
#include "main/toml_reader.h"
#include "models/catalog.h"

namespace perdure::app {

/// How a provider is called: the limits of its own pool, attempts, and time limits by phase.
struct CallConfig {
  models::CallRules rules;
  http::ClientTimeouts timeouts;
  int max_in_flight = 0;
  std::int64_t requests_per_minute = 0;
  std::int64_t tokens_per_minute = 0;
};

/// Takes the keys out of a [[provider]]; the caller finishes the section.
CallConfig read_calls(TomlSection& provider);
/// The first of them that cannot work.
Result<void> check_calls(const TomlSection& provider, const CallConfig& calls);

/// A whole [[pool]].
Result<models::PoolEntry> read_pool(TomlSection& section);

/// The pool that a provider has without any [[pool]].
models::PoolEntry own_pool(const std::string& provider, const CallConfig& calls);

}  // namespace perdure::app
