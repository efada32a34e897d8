#include "engine/function_search.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "base/json.h"

namespace perdure::engine {
namespace {

// BM25's two numbers as they are commonly chosen: how soon repetition stops to count, and how much
// a long text is held against it.
constexpr double kSaturation = 1.2;
constexpr double kLengthShare = 0.75;
constexpr double kNameWeight = 3;
/// Above every score that words can give.
constexpr double kNamed = 1e6;
/// Of the best one's score; what has less shares a word by accident.
constexpr double kLeastShare = 0.25;

constexpr std::array<std::string_view, 34> kSmallWords = {
    "a",    "an",  "and",  "any", "are", "as",   "at", "be",   "by",   "can", "do", "for",
    "from", "how", "i",    "in",  "is",  "it",   "me", "my",   "of",   "on",  "or", "some",
    "that", "the", "this", "to",  "use", "want", "we", "what", "with", "you"};

bool is_small(std::string_view word) {
  return std::ranges::binary_search(kSmallWords, word);
}

bool is_upper(char c) {
  return c >= 'A' && c <= 'Z';
}
bool is_lower_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}
char lower(char c) {
  return is_upper(c) ? static_cast<char>(c - 'A' + 'a') : c;
}

std::string singular(std::string word) {
  if (word.size() > 4 && word.ends_with("ies")) return word.substr(0, word.size() - 3) + 'y';
  bool plural = word.size() > 3 && word.ends_with('s') && !word.ends_with("ss") &&
                !word.ends_with("us") && !word.ends_with("is");
  if (plural) word.pop_back();
  return word;
}

/// The bytes of the character that begins here, in valid UTF-8.
std::size_t length_of(std::string_view text) {
  auto first = static_cast<unsigned char>(text.front());
  std::size_t length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  return std::min(length, text.size());
}

/// From U+2E80 on, where the scripts begin that write no spaces.
bool stands_alone(std::string_view character) {
  return character.size() > 2 && character >= std::string_view("\xe2\xba\x80");
}

/// What people and models read of a schema: names, descriptions, values to choose from.
void add_schema_text(const json::value& value, std::string& text) {
  if (value.is_array())
    for (const json::value& element : value.get_array()) add_schema_text(element, text);
  if (!value.is_object()) return;
  for (const auto& [key, member] : value.get_object()) {
    if (member.is_string() && (key == "description" || key == "title"))
      text.append(" ").append(as_view(member.get_string()));
    if (key == "properties" && member.is_object())
      for (const auto& [name, schema] : member.get_object())
        text.append(" ").append(std::string_view(name.data(), name.size()));
    if (key == "enum" && member.is_array())
      for (const json::value& choice : member.get_array())
        if (choice.is_string()) text.append(" ").append(as_view(choice.get_string()));
    add_schema_text(member, text);
  }
}

/// The query's pieces that could be names of functions.
std::set<std::string, std::less<>> names_in(std::string_view query) {
  std::set<std::string, std::less<>> names;
  std::string name;
  for (char c : query) {
    if (is_upper(c) || is_lower_or_digit(c) || c == '_' || c == '-') {
      name += c;
    } else if (!name.empty()) {
      names.insert(std::exchange(name, {}));
    }
  }
  if (!name.empty()) names.insert(name);
  return names;
}

}  // namespace

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  char before = ' ';
  auto end_word = [&] {
    if (word.empty()) return;
    std::string whole = singular(std::exchange(word, {}));
    if (!is_small(whole)) words.push_back(std::move(whole));
  };
  while (!text.empty()) {
    std::string_view character = text.substr(0, length_of(text));
    text.remove_prefix(character.size());
    const char c = character.front();
    if (stands_alone(character)) {
      end_word();
      words.emplace_back(character);
    } else if (character.size() > 1) {
      word += character;
    } else if (is_upper(c) || is_lower_or_digit(c)) {
      // sendEmail, HTTPServer
      bool begins = is_upper(c) &&
                    (is_lower_or_digit(before) || (is_upper(before) && !text.empty() &&
                                                   text.front() >= 'a' && text.front() <= 'z'));
      if (begins) end_word();
      word += lower(c);
    } else {
      end_word();
    }
    before = c;
  }
  end_word();
  return words;
}

void FunctionIndex::add(const FunctionConfig& function) {
  Document document{.name = function.name};
  auto count = [&](std::string_view text, double weight) {
    for (std::string& word : words_of(text)) {
      document.counts[std::move(word)] += weight;
      document.length += weight;
    }
  };
  count(function.name, kNameWeight);
  count(function.description, 1);
  std::string parameters;
  if (auto schema = parse_json(function.parameters)) add_schema_text(*schema, parameters);
  count(parameters, 1);
  for (const auto& [word, times] : document.counts) ++holders_[word];
  length_ += document.length;
  documents_.push_back(std::move(document));
}

std::vector<std::string> FunctionIndex::search(std::string_view query, std::size_t most) const {
  std::vector<std::string> words = words_of(query);
  std::ranges::sort(words);
  words.erase(std::ranges::unique(words).begin(), words.end());
  const auto names = names_in(query);
  const double count = static_cast<double>(documents_.size());
  const double average = std::max(length_ / std::max(count, 1.0), 1.0);
  struct Scored {
    const Document* document;
    double score;
  };
  std::vector<Scored> scored;
  double best = 0;
  for (const Document& document : documents_) {
    double score = 0;
    for (const std::string& word : words) {
      auto times = document.counts.find(word);
      if (times == document.counts.end()) continue;
      const double holders = static_cast<double>(holders_.at(word));
      const double rarity = std::log(1 + (count - holders + 0.5) / (holders + 0.5));
      const double held = 1 - kLengthShare + kLengthShare * document.length / average;
      score += rarity * times->second * (kSaturation + 1) / (times->second + kSaturation * held);
    }
    best = std::max(best, score);
    if (names.contains(document.name)) score += kNamed;
    if (score > 0) scored.push_back({&document, score});
  }
  std::erase_if(scored, [&](const Scored& each) { return each.score < best * kLeastShare; });
  std::ranges::sort(scored, [](const Scored& a, const Scored& b) {
    return a.score != b.score ? a.score > b.score : a.document < b.document;  // as they were added
  });
  if (scored.size() > most) scored.resize(most);
  std::vector<std::string> found;
  found.reserve(scored.size());
  for (const Scored& each : scored) found.push_back(each.document->name);
  return found;
}

}  // namespace perdure::engine
