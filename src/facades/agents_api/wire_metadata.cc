#include "facades/agents_api/wire_metadata.h"

#include <fmt/format.h>

#include "facades/agents_api/limits.h"

namespace perdure::facades::agents_api {

std::unexpected<Error> too_long(std::string path, std::string_view kind, std::size_t most,
                                std::size_t length) {
  std::string message = fmt::format(
      "Invalid '{}': {} too long. Expected {} {} with maximum length {}, but got {} {} with length "
      "{} instead.",
      path, kind, kind == "array" ? "an" : "a", kind, most, kind == "array" ? "an" : "a", kind,
      length);
  return fail(ErrorCode::kInvalidArgument, std::move(message), std::move(path));
}

Result<std::map<std::string, std::string>> read_metadata(const JsonObject& body) {
  std::map<std::string, std::string> out;
  auto field = body.find_value("metadata");
  if (!field) return out;
  TRY(pairs, JsonObject::read(*field));
  if (pairs.members().size() > kMaxMetadataPairs)
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("Invalid 'metadata': too many properties. Expected an object with at "
                            "most {} properties, but got an object with {} properties instead.",
                            kMaxMetadataPairs, pairs.members().size()),
                field->path);
  for (const RawMember& member : pairs.members()) {
    auto value_field = pairs.find(member.key);
    if (std::size_t length = character_count(member.key); length > kMaxMetadataKey)
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("Invalid 'metadata': property name too long. Expected a name with "
                              "maximum length {}, but got a name with length {} instead.",
                              kMaxMetadataKey, length),
                  value_field->path);
    TRY(value, read_string(*value_field));
    if (std::size_t length = character_count(value); length > kMaxMetadataValue)
      return too_long(value_field->path, "string", kMaxMetadataValue, length);
    out.emplace(member.key, std::move(value));
  }
  return out;
}

}  // namespace perdure::facades::agents_api
