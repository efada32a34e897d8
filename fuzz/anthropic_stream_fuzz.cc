// Whatever a server of the Messages API sends, its reader keeps the promises of
// model_stream_fuzz.h.
#include <cstdint>

#include "model_stream_fuzz.h"
#include "models/anthropic_stream.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace models = perdure::models;
  models::AnthropicStream decoder(models::FailureMapper("upstream", ""),
                                  models::AnthropicToolNames({{"files.read", "", ""}}));
  models::fuzz::check(decoder, models::fuzz::Deltas::kAddUp,
                      {reinterpret_cast<const char*>(data), size});
  return 0;
}
