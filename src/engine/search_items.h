// What of a session's entries can be searched and read back: its messages, calls and results.
//
// A SearchReader is fed entries in their order and makes items of them. It is a plain value. Texts
// are cut to bounds that its user gives, at a character's end, and are valid UTF-8. What the tools
// that search have brought is left out, so that nothing is found because it was found before.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/entry_bodies.h"
#include "journal/journal.h"
#include "journal/search.h"

namespace perdure::engine {

struct SearchTextBounds {
  std::size_t message = 0;
  std::size_t call = 0;  ///< of a call's arguments, and of a result
};

class SearchReader {
 public:
  SearchReader(SessionId session, SearchTextBounds bounds)
      : session_(std::move(session)), bounds_(bounds) {}

  /// The kinds that it knows: others need not be read.
  static const std::vector<journal::Kind>& kinds();

  Result<void> add(const journal::Entry& entry);
  /// Learns only what the calls of a kModelCallFinished entry are, for results that come later.
  Result<void> note_calls(const journal::Entry& entry);
  /// Whether the call of this entry's result is known, or it is no result. If not, `turn` is that
  /// of the result.
  Result<bool> knows_call_of(const journal::Entry& entry, std::uint64_t* turn) const;

  /// Of the kSessionCreated entry, if it was among those added.
  const std::string& agent() const { return agent_; }
  std::vector<journal::SearchItem> take() { return std::exchange(items_, {}); }

 private:
  struct Call {
    std::string name;  ///< "server/tool" for a server's
    std::string item;
    bool hidden = false;
  };
  void learn(std::uint64_t seq, const ModelCallFinishedBody& body);
  void add_items(const journal::Entry& entry, const ModelCallFinishedBody& body);
  void add_result(const journal::Entry& entry, std::uint64_t turn, const std::string& call_id,
                  std::string_view text);
  void push(const journal::Entry& entry, std::uint32_t sub, std::uint64_t turn,
            journal::SearchKind kind, std::string item, std::string_view text, std::size_t most);

  SessionId session_;
  SearchTextBounds bounds_;
  std::string agent_;
  std::map<std::string, Call, std::less<>> calls_;  ///< by call id
  std::vector<journal::SearchItem> items_;
};

}  // namespace perdure::engine
