// A `price = {…}` of perdure.toml, which [[model]] and [[pool]] may have.
//
// A plain value, read once at start. A mistake is a sentence that names file and line.
#pragma once

#include <optional>

#include "base/error.h"
#include "main/toml_reader.h"
#include "models/price.h"

namespace perdure::app {

/// Dollars a million tokens: {input = 2.50, cached_input = 0.25, cache_write = 3.125, output
/// = 10.0}. The second and third are the first where they are absent. None where there is no
/// `price`.
Result<std::optional<models::Price>> read_price(TomlSection& owner);

}  // namespace perdure::app
