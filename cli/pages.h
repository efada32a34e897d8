// Lists of the server's API, read to their end.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "cli/api_client.h"

namespace perdure::cli {

/// The path with one more query parameter; as it is without a value.
std::string with_parameter(std::string path, std::string_view key,
                           const std::optional<std::string>& value);

/// The elements of all pages. Each page is asked for behind its predecessor: the `id_key` of its
/// last element, or where that is empty the `next` that it names.
Outcome<json::array> all_pages(const ApiClient& client, const std::string& path,
                               std::string_view id_key);

}  // namespace perdure::cli
