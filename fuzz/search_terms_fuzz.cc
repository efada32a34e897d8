// The words of any text: terms that every store's query language takes as they are, at places
// inside the text, and snippets that are bounded, valid text.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "engine/bounded_text.h"
#include "engine/limits.h"
#include "engine/search_rank.h"
#include "journal/limits.h"
#include "journal/search_terms.h"

namespace {

void demand(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "violated: %s\n", what);
  std::abort();
}

bool is_safe(char c) {
  return static_cast<unsigned char>(c) >= 0x80 || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace journal = perdure::journal;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  std::size_t end = 0;
  for (const journal::TermAt& word : journal::terms_at(text)) {
    demand(!word.term.empty() && word.term.size() <= journal::kMaxTermBytes, "a term is bounded");
    demand(perdure::is_valid_utf8(word.term), "a term is text");
    demand(std::ranges::all_of(word.term, is_safe), "a term has letters and digits only");
    demand(word.begin >= end && word.end > word.begin && word.end <= size, "terms are in order");
    end = word.end;
  }
  const auto question = journal::query_terms(text);
  demand(question.size() <= journal::kMaxSearchTerms, "a question is bounded");
  const auto indexed = journal::indexed_terms(text);
  for (const std::string& term : question)
    demand(std::ranges::binary_search(indexed, term), "a text is found by its own words");

  const std::string fit = perdure::engine::bounded_text(text, 2000);
  demand(fit.size() <= 2000 && perdure::is_valid_utf8(fit), "what is indexed is bounded text");
  demand(fit.find('\0') == std::string::npos, "what is indexed has no NUL");
  const std::string shown = perdure::engine::snippet(fit, question);
  demand(shown.size() <= perdure::engine::kMaxSnippetBytes, "a snippet is bounded");
  demand(perdure::is_valid_utf8(shown), "a snippet is text");
  return 0;
}
