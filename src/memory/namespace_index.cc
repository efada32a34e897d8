#include "memory/namespace_index.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <set>

#include "memory/limits.h"
#include "memory/ranking.h"

namespace perdure::memory {
namespace {

float saturated(float times, float words, float average) {
  const float held_back = 1 + kLengthPenalty * std::max(0.F, words / average - 1);
  return times * (kSaturation + 1) / (times + kSaturation * held_back);
}

/// A term's occurrences in the piece where it weighs most.
struct Occurrence {
  std::size_t times = 0;
  std::size_t words = 1;
  double weight() const {
    constexpr float kUsualWords = 40;  // the same for all, so that order of arrival is no matter
    return saturated(float(times), float(words), kUsualWords);
  }
};

using Occurrences = std::unordered_map<std::string_view, Occurrence>;

/// The pieces of a text; the last one is as long as the others where there are several.
std::vector<std::pair<std::size_t, std::size_t>> pieces_of(std::size_t words) {
  std::vector<std::pair<std::size_t, std::size_t>> pieces;
  if (words <= kChunkWords + kChunkOverlap) return {{0, words}};
  for (std::size_t begin = 0;; begin += kChunkWords - kChunkOverlap) {
    if (begin + kChunkWords >= words) {
      pieces.emplace_back(words - kChunkWords, words);
      return pieces;
    }
    pieces.emplace_back(begin, begin + kChunkWords);
  }
}

}  // namespace

// ---- writing ------------------------------------------------------------------------------------

void NamespaceIndex::link(DocumentNumber number, std::string_view conversation) {
  if (conversation.empty()) return;
  const auto [found, is_new] = conversations_.try_emplace(
      std::string(conversation), static_cast<std::uint32_t>(newest_.size() + 1));
  Kept& kept = documents_[number];
  kept.conversation = found->second;
  if (is_new) newest_.resize(found->second, kNone);
  DocumentNumber& newest = newest_[found->second - 1];
  kept.before = newest;
  if (newest != kNone) documents_[newest].after = number;
  newest = number;
}

std::uint16_t NamespaceIndex::speaker_number(std::string_view name) {
  if (name.empty()) return 0;
  if (const auto found = speaker_numbers_.find(name); found != speaker_numbers_.end())
    return found->second;
  constexpr std::uint16_t kMost = 65'535;
  if (last_speaker_ == kMost) return 0;  // who comes later has no boost
  const std::uint16_t number = ++last_speaker_;
  speaker_numbers_.emplace(std::string(name), number);
  for (std::string& term : analyzer_->query_terms(name)) speakers_[term].push_back(number);
  return number;
}

void NamespaceIndex::add(const Document& document) {
  const auto number = static_cast<DocumentNumber>(documents_.size());
  std::vector<std::string> terms = analyzer_->terms(document.text);
  if (!document.speaker.empty())
    for (std::string& term : analyzer_->terms(document.speaker)) terms.push_back(std::move(term));
  Occurrences best;
  const auto pieces = pieces_of(terms.size());
  for (const auto& [begin, end] : pieces) {
    Occurrences piece;
    for (std::size_t at = begin; at < end; ++at)
      if (!terms[at].empty()) ++piece[terms[at]].times;
    for (auto& [term, occurrence] : piece) {
      occurrence.words = end - begin;
      Occurrence& kept = best[term];
      if (occurrence.weight() > kept.weight()) kept = occurrence;
    }
  }
  for (const auto& [term, occurrence] : best) {
    auto list = lists_.find(term);
    if (list == lists_.end()) list = lists_.emplace(std::string(term), PostingList()).first;
    list->second.add(number, occurrence.times, occurrence.words);
  }
  // Of several pieces each is full.
  const float words = pieces.size() > 1 ? float(kChunkWords) : float(terms.size());
  documents_.push_back({.speaker = speaker_number(document.speaker),
                        .role = document.role,
                        .words = std::max(words, 1.F)});
  words_ += documents_.back().words;
  link(number, document.conversation);
}

void NamespaceIndex::erase(const std::vector<DocumentNumber>& documents) {
  const std::set<DocumentNumber> gone(documents.begin(), documents.end());
  std::vector<DocumentNumber> renamed(documents_.size(), kNone);
  std::vector<Kept> kept;
  std::vector<std::uint32_t> conversation;
  std::ranges::fill(newest_, kNone);
  words_ = 0;
  for (DocumentNumber old = 0; old < documents_.size(); ++old) {
    if (gone.contains(old)) continue;
    const auto number = static_cast<DocumentNumber>(kept.size());
    renamed[old] = number;
    Kept one = documents_[old];
    one.before = one.after = kNone;
    if (one.conversation != 0) {
      DocumentNumber& newest = newest_[one.conversation - 1];
      one.before = newest;
      if (newest != kNone) kept[newest].after = number;
      newest = number;
    }
    words_ += one.words;
    kept.push_back(one);
  }
  documents_ = std::move(kept);
  forget_names();
  for (auto list = lists_.begin(); list != lists_.end();) {
    PostingList rest;
    for (std::size_t at = 0; at < list->second.size(); ++at)
      if (const DocumentNumber number = renamed[list->second.document(at)]; number != kNone)
        rest.add(number, static_cast<std::size_t>(list->second.times(at)),
                 static_cast<std::size_t>(list->second.words(at)));
    if (rest.size() == 0) {
      list = lists_.erase(list);
    } else {
      list->second = std::move(rest);
      ++list;
    }
  }
}

/// Speakers and conversations that have no document left.
void NamespaceIndex::forget_names() {
  std::set<std::uint16_t> speaking;
  for (const Kept& one : documents_) speaking.insert(one.speaker);
  std::erase_if(speaker_numbers_, [&](const auto& one) { return !speaking.contains(one.second); });
  for (auto& [term, numbers] : speakers_)
    std::erase_if(numbers, [&](std::uint16_t number) { return !speaking.contains(number); });
  std::erase_if(speakers_, [](const auto& one) { return one.second.empty(); });
  std::erase_if(conversations_, [&](const auto& one) { return newest_[one.second - 1] == kNone; });
}

// ---- asking -------------------------------------------------------------------------------------

NamespaceIndex::Question NamespaceIndex::read(std::string_view question) const {
  Question read;
  std::set<std::uint16_t> named;
  const auto all = static_cast<float>(documents_.size());
  const float average = static_cast<float>(words_ / std::max<double>(all, 1));
  for (std::string& term : analyzer_->query_terms(question)) {
    if (const auto names = speakers_.find(term); names != speakers_.end())
      named.insert(names->second.begin(), names->second.end());
    const auto list = lists_.find(term);
    if (list == lists_.end()) continue;
    const auto have = static_cast<float>(list->second.size());
    const float rarity = std::log(1 + (all - have + 0.5F) / (have + 0.5F));
    const float most =
        rarity * saturated(list->second.most_times(), list->second.fewest_words(), average);
    read.terms.push_back({std::move(term), &list->second, rarity, most, average});
  }
  std::ranges::sort(read.terms, [](const Wanted& left, const Wanted& right) {
    return left.list->size() != right.list->size() ? left.list->size() < right.list->size()
                                                   : left.term < right.term;
  });
  if (read.terms.size() > kMaxQueryTerms) read.terms.resize(kMaxQueryTerms);
  if (named.size() == 1) read.speaker = *named.begin();
  return read;
}

float NamespaceIndex::weight(const Wanted& wanted, std::size_t at) const {
  return wanted.rarity * saturated(wanted.list->times(at), wanted.list->words(at), wanted.average);
}

float NamespaceIndex::boost(const Question& question, DocumentNumber document) const {
  const Kept& kept = documents_[document];
  float boost = kept.role == Speaking::kUser ? kUserBoost : 1;
  if (question.speaker != 0 && kept.speaker == question.speaker) boost *= kSpeakerBoost;
  return boost;
}

void NamespaceIndex::spread(const Wanted& wanted, Scratch* scratch) const {
  Scratch::Sums& best = scratch->term;
  const auto offer = [&best](DocumentNumber to, float value) {
    float& now = best.of[to];
    if (now == 0) best.touched.push_back(to);
    now = std::max(now, value);
  };
  for (std::size_t at = 0; at < wanted.list->size(); ++at) {
    const DocumentNumber here = wanted.list->document(at);
    const float value = weight(wanted, at);
    offer(here, value);
    DocumentNumber to = here;
    for (const float part : kBack) {
      to = documents_[to].after;
      if (to == kNone) break;
      offer(to, value * part);
    }
    to = here;
    for (const float part : kForward) {
      to = documents_[to].before;
      if (to == kNone) break;
      offer(to, value * part);
    }
  }
  for (const DocumentNumber one : best.touched) {
    float& total = scratch->total.of[one];
    if (total == 0) scratch->total.touched.push_back(one);
    total += best.of[one];
  }
  best.clear();
}

std::pair<float, DocumentNumber> NamespaceIndex::share_of(const Wanted& wanted,
                                                          DocumentNumber document) const {
  std::pair<float, DocumentNumber> best{0, kNone};
  const auto look = [&](DocumentNumber at, float part) {
    const std::size_t place = wanted.list->find(at);
    if (place == wanted.list->size() || wanted.list->document(place) != at) return;
    const float value = weight(wanted, place) * part;
    if (value > best.first) best = {value, at};
  };
  look(document, 1);
  DocumentNumber from = document;
  for (const float part : kBack) {
    from = documents_[from].before;
    if (from == kNone) break;
    look(from, part);
  }
  from = document;
  for (const float part : kForward) {
    from = documents_[from].after;
    if (from == kNone) break;
    look(from, part);
  }
  return best;
}

std::vector<Match> NamespaceIndex::search(std::string_view text, std::size_t limit,
                                          const Admit& admit, Scratch* scratch) const {
  if (documents_.empty() || limit == 0) return {};
  const Question question = read(text);
  scratch->make_room(documents_.size());
  std::vector<float>& total = scratch->total.of;
  std::vector<DocumentNumber>& touched = scratch->total.touched;
  // What a term and those after it can give at most, with room for rounding.
  std::vector<float> rest(question.terms.size() + 1, 0);
  for (std::size_t at = question.terms.size(); at > 0; --at)
    rest[at - 1] = rest[at] + question.terms[at - 1].most * 1.0001F;

  const auto by_score = [&](DocumentNumber one) { return total[one] * boost(question, one); };
  const float most_boost = kUserBoost * (question.speaker != 0 ? kSpeakerBoost : 1);
  std::vector<float> scores;
  // What a document must have to be among the best of these.
  const auto threshold = [&](const std::vector<DocumentNumber>& candidates) {
    if (candidates.size() < limit) return 0.F;
    scores.clear();
    for (const DocumentNumber one : candidates) scores.push_back(by_score(one));
    const auto last = scores.begin() + static_cast<std::ptrdiff_t>(limit - 1);
    std::ranges::nth_element(scores, last, std::greater());
    return *last;
  };

  std::size_t next = 0;
  std::vector<DocumentNumber> candidates;
  std::size_t asked = 0;  // of touched: those that admit() has decided about
  for (; next < question.terms.size(); ++next) {
    // Once nobody new can enter, the terms that remain are looked up. That needs at least half of
    // what can be had: before, the threshold need not be asked for.
    const bool may_be_over = rest[next] < rest[0] - rest[next];
    if (may_be_over && rest[next] * most_boost < threshold(candidates)) break;
    spread(question.terms[next], scratch);
    for (; asked < touched.size(); ++asked)
      if (!admit || admit(touched[asked])) candidates.push_back(touched[asked]);
  }
  for (; next < question.terms.size(); ++next) {
    const float least = threshold(candidates);
    std::erase_if(candidates, [&](DocumentNumber one) {
      return (total[one] + rest[next]) * boost(question, one) < least;
    });
    const Wanted& wanted = question.terms[next];
    // Looking a document up costs a search in the list, which a short list is not worth.
    const std::size_t search_steps = std::bit_width(wanted.list->size());
    if (candidates.size() * search_steps > wanted.list->size()) {
      spread(wanted, scratch);
    } else {
      for (const DocumentNumber one : candidates) total[one] += share_of(wanted, one).first;
    }
  }

  std::vector<Match> found;
  found.reserve(candidates.size());
  for (const DocumentNumber one : candidates) found.push_back({one, by_score(one)});
  scratch->total.clear();
  const auto better = [](const Match& left, const Match& right) {
    return left.score != right.score ? left.score > right.score : left.document > right.document;
  };
  const std::size_t shown = std::min(limit, found.size());
  std::ranges::partial_sort(found, found.begin() + static_cast<std::ptrdiff_t>(shown), better);
  found.resize(shown);
  return found;
}

Explanation NamespaceIndex::explain(std::string_view text, DocumentNumber document) const {
  Explanation explanation;
  if (document >= documents_.size()) return explanation;
  const Question question = read(text);
  for (const Wanted& wanted : question.terms) {
    const auto [share, source] = share_of(wanted, document);
    if (share > 0) explanation.terms.push_back({wanted.term, wanted.rarity, share, source});
  }
  const Kept& kept = documents_[document];
  if (kept.role == Speaking::kUser) explanation.role_boost = kUserBoost;
  if (question.speaker != 0 && kept.speaker == question.speaker)
    explanation.speaker_boost = kSpeakerBoost;
  return explanation;
}

}  // namespace perdure::memory
