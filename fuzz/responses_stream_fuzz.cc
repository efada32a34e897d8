// Whatever a server of the Responses API sends, its reader keeps the promises of
// model_stream_fuzz.h.
#include <cstdint>

#include "model_stream_fuzz.h"
#include "models/responses_stream.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace models = perdure::models;
  models::ResponsesStream decoder(models::FailureMapper("upstream", ""));
  models::fuzz::check(decoder, models::fuzz::Deltas::kMayDiffer,
                      {reinterpret_cast<const char*>(data), size});
  return 0;
}
