// A JSON text that follows a schema, for a model that cannot: the scripted demo.
//
// It tries: objects have what they require, texts are what is to be said, numbers and lists are as
// small as they may be. A schema that demands more (a pattern, several things at once) is not met.
// A pure function.
#pragma once

#include <string>
#include <string_view>

namespace perdure::models {

std::string schema_sample(std::string_view schema, std::string_view text);

}  // namespace perdure::models
