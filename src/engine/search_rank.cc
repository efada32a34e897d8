#include "engine/search_rank.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "base/bytes.h"
#include "engine/limits.h"
#include "journal/search_terms.h"

namespace perdure::engine {
namespace {

using journal::FoundItem;
using journal::SearchKind;
using journal::TermAt;

constexpr double kSaturation = 1.2;    // how soon a word said again counts for little
constexpr double kLengthShare = 0.75;  // how much a long item must say it more often
constexpr double kUsualWords = 60;

double weight_of(SearchKind kind) {
  return kind == SearchKind::kUser || kind == SearchKind::kAssistant ? 1.0 : 0.7;
}

double score_of(const FoundItem& one, const std::vector<std::string>& terms,
                const std::vector<double>& rarity) {
  const std::vector<TermAt> words = journal::terms_at(one.item.text);
  std::vector<double> times(terms.size());
  for (const TermAt& word : words)
    if (auto at = std::ranges::find(terms, word.term); at != terms.end())
      times[static_cast<std::size_t>(at - terms.begin())] += 1;
  const double length =
      1 - kLengthShare + kLengthShare * static_cast<double>(words.size()) / kUsualWords;
  double score = 0;
  std::size_t matched = 0;
  for (std::size_t i = 0; i < terms.size(); ++i) {
    if (times[i] == 0) continue;
    ++matched;
    score += rarity[i] * times[i] * (1 + kSaturation) / (times[i] + kSaturation * length);
  }
  const double share = static_cast<double>(matched) / static_cast<double>(terms.size());
  return score * (0.5 + 0.5 * share) * weight_of(one.item.kind);
}

/// Moves to where a character begins.
std::size_t character_at(std::string_view text, std::size_t at) {
  while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0U) == 0x80U) ++at;
  return at;
}

std::string one_line(std::string_view text) {
  std::string line;
  for (char c : text) {
    bool space = static_cast<unsigned char>(c) <= ' ' || c == 0x7f;
    if (!space)
      line += c;
    else if (!line.empty() && line.back() != ' ')
      line += ' ';
  }
  while (line.ends_with(' ')) line.pop_back();
  return line;
}

}  // namespace

std::vector<Ranked> rank(const journal::FoundItems& found, const std::vector<std::string>& terms) {
  std::vector<double> rarity;
  rarity.reserve(terms.size());
  for (std::size_t i = 0; i < terms.size(); ++i) {
    const std::size_t count =
        i < found.counts.size() ? std::max<std::size_t>(found.counts[i], 1) : 1;
    rarity.push_back(
        std::log(1 + static_cast<double>(kSearchCandidates + 1) / static_cast<double>(count)));
  }
  std::vector<Ranked> ranked;
  ranked.reserve(found.items.size());
  for (std::size_t i = 0; i < found.items.size(); ++i)
    ranked.push_back({i, std::round(score_of(found.items[i], terms, rarity) * 1000) / 1000});
  std::ranges::sort(ranked, [&](const Ranked& a, const Ranked& b) {
    return std::tuple(-a.score, -found.items[a.index].item.time, a.index) <
           std::tuple(-b.score, -found.items[b.index].item.time, b.index);
  });
  return ranked;
}

std::string snippet(std::string_view text, const std::vector<std::string>& terms) {
  constexpr std::string_view kCut = "…";
  constexpr std::size_t kShown = kMaxSnippetBytes - 2 * kCut.size();
  constexpr std::size_t kBefore = kShown / 5;
  if (text.size() <= kShown) return one_line(text);
  std::vector<TermAt> hits = journal::terms_at(text);
  std::erase_if(
      hits, [&](const TermAt& word) { return std::ranges::find(terms, word.term) == terms.end(); });
  std::size_t best = 0, most = 0;
  for (std::size_t i = 0; i < hits.size(); ++i) {
    std::vector<std::string_view> seen;
    for (std::size_t j = i; j < hits.size() && hits[j].end <= hits[i].begin + kShown - kBefore; ++j)
      if (std::ranges::find(seen, hits[j].term) == seen.end()) seen.emplace_back(hits[j].term);
    if (seen.size() > most) {
      most = seen.size();
      best = hits[i].begin;
    }
  }
  std::size_t from = best > kBefore ? character_at(text, best - kBefore) : 0;
  from = std::min(from, character_at(text, text.size() - kShown));
  std::size_t length = std::min(kShown, text.size() - from);
  while (length > 0 && from + length < text.size() &&
         character_at(text, from + length) != from + length)
    --length;
  std::string line = one_line(text.substr(from, length));
  if (from > 0) line.insert(0, kCut);
  if (from + length < text.size()) line += kCut;
  return line;
}

}  // namespace perdure::engine
