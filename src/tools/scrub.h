// Takes a credential out of what the server that was sent it has said.
//
// A pure function. It finds the credential as it is and with the escaped slashes of JSON, and also
// its begin alone, because excerpts are cut anywhere. A server that hides it better than that wants
// to be believed.
#pragma once

#include <string>
#include <string_view>

namespace perdure::tools {

/// `text` with "[removed]" for each place where `secret`, or at least its first
/// kTellingSecretBytes, stands. Nothing is removed for an empty secret.
std::string scrub(std::string text, std::string_view secret);

}  // namespace perdure::tools
