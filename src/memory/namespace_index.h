// The inverted index of one namespace: which records answer a question best, by their words.
//
// A projection in memory: the rows of the records are the truth, and the same documents added in
// the same order give the same ranks to the last bit, whatever was erased between them. No
// namespace knows another's words: what is rare is rare *here*. `ranking.h` has the constants and
// their reason. Questions are answered exactly, with early termination: once the terms that remain
// cannot lift a new document into the result, they are looked up for the candidates only
// (MaxScore).
//
// One thread. `Scratch` is memory that questions share; it may be used with any index.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "memory/analyzer.h"
#include "memory/posting_list.h"

namespace perdure::memory {

enum class Speaking : std::uint8_t { kUser, kAgent, kTool, kNobody };

struct Document {
  std::string_view text;
  std::string_view conversation;  ///< whose neighbour it is; empty: nobody's
  std::string_view speaker;       ///< a name, for questions that name somebody; may be empty
  Speaking role = Speaking::kNobody;
};

/// Which documents may be found. Asked only of those that have a word of the question.
using Admit = std::function<bool(DocumentNumber)>;

struct Match {
  DocumentNumber document = 0;
  float score = 0;
};

/// What a term gave to a score.
struct TermShare {
  std::string term;
  float rarity = 0;           ///< its inverse document frequency
  float share = 0;            ///< what it added, before boosts
  DocumentNumber source = 0;  ///< where it stands: the document, or a neighbour
};

struct Explanation {
  std::vector<TermShare> terms;
  float speaker_boost = 1;
  float role_boost = 1;
};

/// Sums by document, all zero between questions.
class Scratch {
 public:
  struct Sums {
    std::vector<float> of;
    std::vector<DocumentNumber> touched;
    void clear() {
      for (const DocumentNumber one : touched) of[one] = 0;
      touched.clear();
    }
  };
  Sums total, term;
  void make_room(std::size_t documents) {
    if (total.of.size() >= documents) return;
    total.of.resize(documents);
    term.of.resize(documents);
  }
};

class NamespaceIndex {
 public:
  explicit NamespaceIndex(Analyzer* analyzer) : analyzer_(analyzer) {}

  /// Its number is `size()` before.
  void add(const Document& document);
  /// Takes these out and closes the gap: later documents get smaller numbers, as if those had never
  /// been. Takes time in proportion to the index.
  void erase(const std::vector<DocumentNumber>& documents);
  std::size_t size() const { return documents_.size(); }

  /// The best first; of equals the later one. At most `limit`.
  std::vector<Match> search(std::string_view question, std::size_t limit, const Admit& admit,
                            Scratch* scratch) const;
  Explanation explain(std::string_view question, DocumentNumber document) const;

 private:
  static constexpr DocumentNumber kNone = ~DocumentNumber{0};
  struct Kept {
    DocumentNumber before = kNone;  ///< neighbours in its conversation
    DocumentNumber after = kNone;
    std::uint16_t speaker = 0;
    Speaking role = Speaking::kNobody;
    float words = 0;  ///< of its pieces, on the average
    std::uint32_t conversation = 0;
  };
  /// A term of a question with its list.
  struct Wanted {
    std::string term;
    const PostingList* list = nullptr;
    float rarity = 0;
    float most = 0;     ///< no document gets more from it
    float average = 1;  ///< words of a document
  };
  struct Question {
    std::vector<Wanted> terms;  ///< the rarest first
    std::uint16_t speaker = 0;  ///< the only one whom it names; 0: nobody, or several
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>()(text);
    }
  };
  template <class Value>
  using ByName = std::unordered_map<std::string, Value, Hash, std::equal_to<>>;

  Question read(std::string_view question) const;
  float weight(const Wanted& wanted, std::size_t at) const;
  float boost(const Question& question, DocumentNumber document) const;
  void link(DocumentNumber number, std::string_view conversation);
  void forget_names();
  std::uint16_t speaker_number(std::string_view name);
  void spread(const Wanted& wanted, Scratch* scratch) const;
  /// What the term gives to one document, and from where.
  std::pair<float, DocumentNumber> share_of(const Wanted& wanted, DocumentNumber document) const;

  Analyzer* analyzer_;
  std::vector<Kept> documents_;
  ByName<PostingList> lists_;
  ByName<std::uint32_t> conversations_;
  std::vector<DocumentNumber> newest_;           ///< of each conversation
  ByName<std::vector<std::uint16_t>> speakers_;  ///< by term of a name: who has it
  ByName<std::uint16_t> speaker_numbers_;
  std::uint16_t last_speaker_ = 0;
  double words_ = 0;  ///< of all documents
};

}  // namespace perdure::memory
