#include "facades/common/workstream.h"

#include <fmt/format.h>

#include "base/ids.h"

namespace perdure::facades {

Result<std::optional<std::string>> workstream_of(const http::Request& request) {
  auto value = request.headers.get(kWorkstreamHeader);
  if (!value) return std::nullopt;
  if (request.headers.count(kWorkstreamHeader) > 1)
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("The {} header was given more than once.", kWorkstreamHeader),
                std::string(kWorkstreamHeader));
  if (!is_workstream_id(*value))
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("The {} header must have 1 to 64 characters of [A-Za-z0-9_-].",
                            kWorkstreamHeader),
                std::string(kWorkstreamHeader));
  return std::string(*value);
}

}  // namespace perdure::facades
