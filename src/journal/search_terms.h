// The words of a text, as the search index compares them: the same in every store.
//
// Pure functions. A word is a run of letters and digits; it is compared without case, and an
// English plural like its singular. Ideographs and kana are words of their own. What is not valid
// UTF-8 separates words. A term has only lower-case ASCII letters, digits and bytes above 127, so
// it can stand in any engine's query between quotes.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"

namespace perdure::journal {

struct TermAt {
  std::string term;
  std::size_t begin = 0;  ///< in bytes of the text …
  std::size_t end = 0;    ///< … behind its last
};

/// Every word in order, without case and otherwise as it was written; at most `most`.
std::vector<TermAt> words_at(std::string_view text, std::size_t most = ~std::size_t{0});

/// The same as terms, English plurals as their singulars.
std::vector<TermAt> terms_at(std::string_view text, std::size_t most = ~std::size_t{0});

/// The distinct terms of a text to be indexed, in order of the alphabet.
std::vector<std::string> indexed_terms(std::string_view text);

/// The distinct terms to look for, in order of appearance and at most kMaxSearchTerms. Words that
/// say nothing ("the", "and") are left out, unless there are no others. Empty: no word at all.
std::vector<std::string> query_terms(std::string_view question);

/// Stands in the index with the terms of every item of a project; no text has it as a term.
std::string scope_term(const ProjectId& project);

}  // namespace perdure::journal
