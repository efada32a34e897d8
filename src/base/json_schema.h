// Whether a JSON text satisfies a JSON Schema: the part of the language that models' strict modes
// allow, and what is wrong in words that a model can act on.
//
// Schema and text come from outside and are hostile until proven otherwise: depth and work are
// bounded, references lead nowhere but into the schema itself, and nothing of it is run as a
// regular expression. What is not understood rejects nothing: `pattern`, `format`, `not`, `if`,
// references that lead nowhere, and whatever is left when the work is used up. Pure functions, for
// any thread.
//
//   understood   $ref (#…), type, enum, const, properties, required, additionalProperties,
//                minProperties, maxProperties, items, prefixItems, minItems, maxItems, uniqueItems,
//                minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf, minLength,
//                maxLength, allOf, anyOf, and oneOf, which is taken for anyOf
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace perdure {

/// Complaints that one check makes at most.
inline constexpr std::size_t kMaxSchemaComplaints = 5;

/// What is wrong with `text`, one sentence each, the values named from `root` on; empty: nothing.
/// A schema that is no JSON is satisfied by every JSON text.
std::vector<std::string> schema_complaints(std::string_view schema, std::string_view text,
                                           std::string_view root);

}  // namespace perdure
