// In which documents of a namespace a term stands: the smallest part of the inverted index.
//
// Ordered by document. Of a document's pieces only the one in which the term weighs most is kept.
// Values; no thread of their own.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace perdure::memory {

/// A document's number in its namespace, in order of arrival.
using DocumentNumber = std::uint32_t;

class PostingList {
 public:
  /// `document` is at least the last one; `times` in a piece of `words` words.
  void add(DocumentNumber document, std::size_t times, std::size_t words) {
    documents_.push_back(document);
    const auto few = static_cast<std::uint8_t>(std::min<std::size_t>(times, 255));
    const auto length = static_cast<std::uint8_t>(std::clamp<std::size_t>(words, 1, 255));
    times_.push_back(few);
    words_.push_back(length);
    most_times_ = std::max(most_times_, few);
    fewest_words_ = std::min(fewest_words_, length);
  }

  std::size_t size() const { return documents_.size(); }
  DocumentNumber document(std::size_t at) const { return documents_[at]; }
  float times(std::size_t at) const { return times_[at]; }
  float words(std::size_t at) const { return words_[at]; }
  /// Bounds of all of them: what no posting exceeds, or falls below.
  float most_times() const { return most_times_; }
  float fewest_words() const { return fewest_words_; }

  /// The first posting of this document or a later one.
  std::size_t find(DocumentNumber document) const {
    return static_cast<std::size_t>(std::ranges::lower_bound(documents_, document) -
                                    documents_.begin());
  }

 private:
  std::vector<DocumentNumber> documents_;
  std::vector<std::uint8_t> times_, words_;
  std::uint8_t most_times_ = 0;
  std::uint8_t fewest_words_ = 255;
};

}  // namespace perdure::memory
