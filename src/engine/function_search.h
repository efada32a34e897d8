// Finds functions by words: BM25 over their names, descriptions and parameters.
//
// Small and deterministic: the same functions and the same query give the same names in the same
// order, and what was found is journaled all the same, so that no replay depends on it. Names count
// more than texts; ASCII letters are compared without case, a plural like its singular, and each
// character of a script that writes no spaces is a word. A value, made by the turn loop for as long
// as it decides on one answer's calls.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/session_view.h"

namespace perdure::engine {

class FunctionIndex {
 public:
  void add(const FunctionConfig& function);
  std::size_t size() const { return documents_.size(); }
  /// The names of those that fit, best first, at most `most`; equally good ones as they were added.
  std::vector<std::string> search(std::string_view query, std::size_t most) const;

 private:
  struct Document {
    std::string name;
    std::map<std::string, double, std::less<>> counts;  ///< of its words, weighted
    double length = 0;                                  ///< their sum
  };
  std::vector<Document> documents_;
  std::map<std::string, std::size_t, std::less<>> holders_;  ///< documents that have a word
  double length_ = 0;                                        ///< of all documents
};

/// The words of a text, as they are compared.
std::vector<std::string> words_of(std::string_view text);

}  // namespace perdure::engine
