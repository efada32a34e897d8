// From text to terms: words without case, reduced to their stems, so that "adopting" finds
// "adopted".
//
// The stemmers are Snowball's. Which one works on a word is decided by its script: Cyrillic is
// taken for Russian, Greek for Greek, and Latin for the language that the analyzer was made for.
// Irregular English forms ("went", "children") count as their base form. Ideographs and kana are
// terms of their own. Pure but for the stemmers' buffers: one thread.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace perdure::memory {

class Analyzer {
 public:
  /// The names that `make` takes: Snowball's ("english", "german", "french" …).
  static std::vector<std::string> languages();
  /// kInvalidArgument, param "language", for one that there is no stemmer for.
  static Result<std::unique_ptr<Analyzer>> make(std::string_view language);
  ~Analyzer();
  Analyzer(const Analyzer&) = delete;

  /// The terms of a text in order; an empty string stands for a word that says nothing ("the"): it
  /// counts towards lengths and is not indexed.
  std::vector<std::string> terms(std::string_view text);
  /// The distinct terms to look for, in order of appearance.
  std::vector<std::string> query_terms(std::string_view question);
  /// One word, as it stands in `terms`.
  std::string term(std::string_view word);

 private:
  class Stemmer;
  Analyzer();
  std::string stem(std::string word);
  bool english_ = false;
  std::unique_ptr<Stemmer> latin_, cyrillic_, greek_;
};

}  // namespace perdure::memory
