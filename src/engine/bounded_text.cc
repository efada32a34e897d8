#include "engine/bounded_text.h"

#include <algorithm>

#include "base/bytes.h"

namespace perdure::engine {

std::string bounded_text(std::string_view text, std::size_t most) {
  std::string fit;
  fit.reserve(std::min(text.size(), most));
  while (!text.empty()) {
    std::size_t bytes = utf8_sequence_length(text);
    bool is_text = bytes > 0 && text[0] != '\0';
    bytes = std::max<std::size_t>(bytes, 1);
    if (fit.size() + bytes > most) break;
    if (is_text)
      fit += text.substr(0, bytes);
    else
      fit += ' ';
    text.remove_prefix(bytes);
  }
  return fit;
}

}  // namespace perdure::engine
