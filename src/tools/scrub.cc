#include "tools/scrub.h"

#include <algorithm>

#include "tools/limits.h"

namespace perdure::tools {
namespace {

/// How many bytes at the begin of `text` are the secret, or enough of its begin to be told by.
std::size_t secret_at(std::string_view text, std::string_view secret) {
  std::size_t at = 0;
  std::size_t same = 0;
  for (; same < secret.size() && at < text.size(); ++same, ++at) {
    if (secret[same] == '/' && text.substr(at).starts_with("\\/")) ++at;
    if (text[at] != secret[same]) break;
  }
  return same >= std::min(secret.size(), kTellingSecretBytes) ? at : 0;
}

}  // namespace

std::string scrub(std::string text, std::string_view secret) {
  if (secret.empty()) return text;
  const std::string_view begins = secret.front() == '/' ? "/\\" : secret.substr(0, 1);
  const std::string_view said = text;
  std::string clean;  // put together anew: a server may say it a million times
  std::size_t kept = 0, at = 0;
  while ((at = said.find_first_of(begins, at)) != std::string_view::npos) {
    const std::size_t found = secret_at(said.substr(at), secret);
    if (found == 0) {
      ++at;
      continue;
    }
    clean.append(said.substr(kept, at - kept)).append("[removed]");
    at += found;
    kept = at;
  }
  if (kept == 0) return text;
  return clean.append(said.substr(kept));
}

}  // namespace perdure::tools
