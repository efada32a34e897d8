#include "models/price.h"

#include <algorithm>
#include <limits>

namespace perdure::models {

Money cost(const Price& price, const TokenUsage& usage) {
  // Counts and prices fit into 63 bits each, so the products need more for the moment.
  using Wide = __int128;
  auto tokens = [](std::int64_t count) { return std::max<Wide>(count, 0); };
  Wide cached = tokens(usage.cached_tokens);
  Wide written = tokens(usage.cache_write_tokens);
  Wide plain = std::max<Wide>(tokens(usage.input_tokens) - cached - written, 0);
  Wide pico = plain * price.input + cached * price.cached_input + written * price.cache_write +
              tokens(usage.output_tokens) * price.output;
  Wide nano = (pico + 999) / 1000;
  return static_cast<Money>(std::min<Wide>(nano, std::numeric_limits<Money>::max()));
}

}  // namespace perdure::models
