#include "journal/search_terms.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "base/bytes.h"
#include "journal/limits.h"

namespace perdure::journal {
namespace {

struct Letter {
  char32_t code = 0;
  std::size_t bytes = 1;
  bool valid = false;
};

Letter letter_at(std::string_view text) {
  const std::size_t bytes = utf8_sequence_length(text);
  if (bytes == 0) return {};
  const auto first = static_cast<unsigned char>(text[0]);
  if (bytes == 1) return {first, 1, true};
  char32_t code = first & (0x7fU >> bytes);
  for (std::size_t i = 1; i < bytes; ++i)
    code = code << 6U | (static_cast<unsigned char>(text[i]) & 0x3fU);
  return {code, bytes, true};
}

bool between(char32_t code, char32_t first, char32_t last) {
  return code >= first && code <= last;
}

bool stands_alone(char32_t code) {
  return between(code, 0x3041, 0x30ff) || between(code, 0x3400, 0x9fff) ||
         between(code, 0xf900, 0xfaff) || between(code, 0x20000, 0x3ffff);
}

bool is_word(char32_t code) {
  if (code < 0x80)
    return between(code, 'a', 'z') || between(code, 'A', 'Z') || between(code, '0', '9');
  if (code < 0xc0) return code == 0xaa || code == 0xb5 || code == 0xba;
  if (code == 0xd7 || code == 0xf7) return false;
  // Punctuation, symbols, private use and the full-width forms of ASCII's.
  return !between(code, 0x2000, 0x2bff) && !between(code, 0x2e00, 0x303f) &&
         !between(code, 0xe000, 0xf8ff) && !between(code, 0xfe00, 0xfe6f) &&
         !between(code, 0xff00, 0xff0f) && !between(code, 0xff1a, 0xff20) &&
         !between(code, 0xfff0, 0xffff) && !between(code, 0x1f000, 0x1ffff) &&
         !between(code, 0xe0000, 0x10ffff);
}

char32_t folded(char32_t code) {
  if (between(code, 'A', 'Z')) return code + 32;
  if (between(code, 0xc0, 0xde) && code != 0xd7) return code + 32;
  if (between(code, 0x100, 0x137) || between(code, 0x14a, 0x177)) return code | 1U;
  if (between(code, 0x139, 0x148) || between(code, 0x179, 0x17e)) return code + (code & 1U);
  if (between(code, 0x391, 0x3a9)) return code + 32;
  if (between(code, 0x410, 0x42f)) return code + 32;
  if (between(code, 0x400, 0x40f)) return code + 80;
  return code;
}

void append(std::string& text, char32_t code) {
  auto push = [&](char32_t byte) { text.push_back(static_cast<char>(byte)); };
  if (code < 0x80) return push(code);
  if (code < 0x800) {
    push(0xc0 | code >> 6U);
  } else {
    if (code < 0x10000) {
      push(0xe0 | code >> 12U);
    } else {
      push(0xf0 | code >> 18U);
      push(0x80 | (code >> 12U & 0x3fU));
    }
    push(0x80 | (code >> 6U & 0x3fU));
  }
  push(0x80 | (code & 0x3fU));
}

/// Takes an English plural for its singular, where that is safe without a dictionary.
void make_singular(std::string& word) {
  if (word.size() < 4 || word.back() != 's') return;
  if (!std::ranges::all_of(word, [](char c) { return c >= 'a' && c <= 'z'; })) return;
  const auto ends = [&](std::string_view with) { return word.ends_with(with); };
  if (ends("ies")) {
    if (word.size() > 4 && !ends("eies") && !ends("aies")) word.replace(word.size() - 3, 3, "y");
  } else if (!ends("us") && !ends("ss") && !ends("is")) {
    word.pop_back();
  }
}

constexpr std::array<std::string_view, 60> kSayNothing = {
    "a",     "about", "an",    "and",   "any",  "are",  "as",   "at",   "be",   "been",
    "but",   "by",    "can",   "did",   "do",   "does", "for",  "from", "had",  "has",
    "have",  "how",   "i",     "if",    "in",   "into", "is",   "it",   "its",  "me",
    "my",    "no",    "not",   "of",    "on",   "or",   "our",  "so",   "that", "the",
    "their", "them",  "then",  "there", "they", "this", "to",   "was",  "we",   "were",
    "what",  "when",  "where", "which", "who",  "why",  "will", "with", "you",  "your"};

static_assert(std::ranges::is_sorted(kSayNothing));

/// Compared as it was written, because "does" is no plural.
bool says_nothing(std::string_view written) {
  std::string word(written);
  std::ranges::transform(word, word.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
  return std::ranges::binary_search(kSayNothing, std::string_view(word));
}

}  // namespace

std::vector<TermAt> words_at(std::string_view text, std::size_t most) {
  std::vector<TermAt> terms;
  TermAt open;
  auto close = [&](std::size_t at) {
    if (open.term.empty()) return;
    open.end = at;
    terms.push_back(std::move(open));
    open = {};
  };
  for (std::size_t at = 0; at < text.size() && terms.size() < most;) {
    const Letter letter = letter_at(text.substr(at));
    if (!letter.valid || !is_word(letter.code)) {
      close(at);
    } else if (stands_alone(letter.code)) {
      close(at);
      open.begin = at;
      append(open.term, letter.code);
      close(at + letter.bytes);
    } else {
      if (open.term.empty()) open.begin = at;
      // The beginning of a very long word stands for all of it.
      if (open.term.size() + 4 <= kMaxTermBytes) append(open.term, folded(letter.code));
    }
    at += letter.bytes;
  }
  if (terms.size() < most) close(text.size());
  if (terms.size() > most) terms.resize(most);
  return terms;
}

std::vector<TermAt> terms_at(std::string_view text, std::size_t most) {
  std::vector<TermAt> terms = words_at(text, most);
  for (TermAt& term : terms) make_singular(term.term);
  return terms;
}

std::vector<std::string> indexed_terms(std::string_view text) {
  std::vector<std::string> terms;
  for (TermAt& term : terms_at(text)) terms.push_back(std::move(term.term));
  std::ranges::sort(terms);
  const auto rest = std::ranges::unique(terms);
  terms.erase(rest.begin(), rest.end());
  return terms;
}

std::vector<std::string> query_terms(std::string_view question) {
  std::vector<std::string> telling, others;
  for (TermAt& term : terms_at(question)) {
    std::string_view written = question.substr(term.begin, term.end - term.begin);
    std::vector<std::string>& list = says_nothing(written) ? others : telling;
    if (list.size() < kMaxSearchTerms && std::ranges::find(list, term.term) == list.end())
      list.push_back(std::move(term.term));
  }
  return telling.empty() ? others : telling;
}

std::string scope_term(const ProjectId& project) {
  constexpr std::size_t kDigits = 24;
  return '_' + to_hex(as_view(sha256("search scope\n" + project.value))).substr(0, kDigits);
}

}  // namespace perdure::journal
