// Small conversions of byte strings: hex, base64, digests, constant-time comparison.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace perdure {

using Digest = std::array<std::uint8_t, 32>;

Digest sha256(std::string_view data);
Digest hmac_sha256(std::string_view key, std::string_view data);
inline std::string_view as_view(const Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

/// Lower-case hexadecimal.
std::string to_hex(std::string_view data);
/// Lower-case RFC 4648 base32hex without padding: sortable like the bytes it stands for.
std::string to_base32(std::string_view data);
/// RFC 4648 base64 with padding.
std::string to_base64(std::string_view data);
/// nullopt for anything that is not strict base64.
std::optional<std::string> from_base64(std::string_view text);

/// Equality in time that depends on the lengths only.
bool equal_in_constant_time(std::string_view a, std::string_view b);

/// Bytes of the well-formed UTF-8 sequence that `text` begins with; 0 if it begins with none.
std::size_t utf8_sequence_length(std::string_view text);
/// True for well-formed UTF-8 (no surrogates, no overlong forms).
bool is_valid_utf8(std::string_view text);

}  // namespace perdure
