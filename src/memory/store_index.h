// What of one memory store is held in memory: for each namespace its inverted index, and of each
// record what a question may ask about it. Texts stay in the rows.
//
// A projection: made from the records in the order in which they were added, and nothing else. One
// thread.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "memory/analyzer.h"
#include "memory/namespace_index.h"
#include "memory/record.h"

namespace perdure::memory {

struct Question {
  std::string text;
  std::string namespace_ = "/";
  bool below = true;        ///< also the namespaces below it
  std::vector<Kind> kinds;  ///< empty: all
  Trust least_trust = Trust::kWeb;
  std::map<std::string, std::string> metadata;  ///< each must be there with this value
  std::optional<UnixMillis> valid_at;           ///< in the world; nullopt: now
  std::optional<UnixMillis> known_at;           ///< by the server; nullopt: now
  bool with_superseded = false;
  std::size_t limit = 10;
  bool explain = false;
};

struct WhyTerm {
  std::string term;
  float rarity = 0;
  float share = 0;
  std::string source;  ///< the record in which it stands
};
struct Why {
  std::vector<WhyTerm> terms;
  float speaker_boost = 1;
  float role_boost = 1;
};

struct Hit {
  std::string id;
  float score = 0;
  bool superseded = false;
  std::optional<Why> why;
};

/// What is to be erased: what matches any of these.
struct Selection {
  std::set<std::string> ids;
  std::string subject;
  std::string session;     ///< what rests on it, wholly or in part
  std::string namespace_;  ///< it and those below
};

class StoreIndex {
 public:
  /// `analyzer` outlives it.
  explicit StoreIndex(Analyzer* analyzer) : analyzer_(analyzer) {}

  void add(const Record& record);
  void erase(const std::set<std::string>& ids);
  std::size_t size() const { return by_id_.size(); }
  bool has(const std::string& id) const { return by_id_.contains(id); }

  /// The best first; of equals the newest.
  std::vector<Hit> search(const Question& question, UnixMillis now);
  /// Current instructions, then preferences, of this namespace and those above it, oldest first.
  std::vector<std::string> standing(std::string_view namespace_, UnixMillis now) const;
  /// Of one namespace, in order of recording.
  std::vector<std::string> with_metadata(const std::string& namespace_, const std::string& key,
                                         const std::string& value) const;
  /// These and what was made from them, however far away.
  std::set<std::string> closure(const Selection& selection) const;

 private:
  struct Kept {
    std::string id;
    Kind kind = Kind::kFact;
    Trust trust = Trust::kUser;
    UnixMillis recorded = 0;
    std::optional<UnixMillis> valid_from, valid_to;
    std::map<std::string, std::string> metadata;
    std::string subject;
    std::vector<std::string> supersedes, sources, sessions;
  };
  struct Namespace {
    explicit Namespace(Analyzer* analyzer) : index(analyzer) {}
    NamespaceIndex index;
    std::vector<Kept> records;  ///< by document number
  };
  struct Place {
    Namespace* where = nullptr;
    DocumentNumber number = 0;
  };
  std::optional<UnixMillis> superseded_at(const std::string& id) const;
  bool admits(const Question& question, const Kept& kept, UnixMillis now) const;
  Why why(const Namespace& where, const std::string& text, DocumentNumber number) const;

  Analyzer* analyzer_;
  std::map<std::string, std::unique_ptr<Namespace>> namespaces_;
  std::unordered_map<std::string, Place> by_id_;
  std::multimap<std::string, std::pair<UnixMillis, std::string>> superseded_;  ///< when, by whom
  Scratch scratch_;
};

}  // namespace perdure::memory
