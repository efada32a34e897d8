#include "memory/analyzer.h"

#include <fmt/format.h>
#include <libstemmer.h>

#include <algorithm>
#include <array>
#include <utility>

#include "journal/search_terms.h"
#include "memory/limits.h"
#include "memory/word_lists.h"

namespace perdure::memory {
namespace {

bool has_script(std::string_view word, unsigned first, unsigned last) {
  // Both scripts are two bytes a letter; the first letter decides.
  if (word.size() < 2) return false;
  const unsigned lead = static_cast<unsigned char>(word[0]);
  return lead >= first && lead <= last;
}
bool is_greek(std::string_view word) {
  return has_script(word, 0xcd, 0xcf);
}
bool is_cyrillic(std::string_view word) {
  return has_script(word, 0xd0, 0xd3);
}

}  // namespace

class Analyzer::Stemmer {
 public:
  explicit Stemmer(const char* language) : stemmer_(sb_stemmer_new(language, "UTF_8")) {}
  ~Stemmer() { sb_stemmer_delete(stemmer_); }
  Stemmer(const Stemmer&) = delete;
  bool there() const { return stemmer_ != nullptr; }

  std::string stem(const std::string& word) {
    const auto* stemmed = sb_stemmer_stem(stemmer_, reinterpret_cast<const sb_symbol*>(word.data()),
                                          static_cast<int>(word.size()));
    if (!stemmed) throw std::bad_alloc();
    return {reinterpret_cast<const char*>(stemmed),
            static_cast<std::size_t>(sb_stemmer_length(stemmer_))};
  }

 private:
  sb_stemmer* stemmer_;
};

Analyzer::Analyzer() = default;
Analyzer::~Analyzer() = default;

std::vector<std::string> Analyzer::languages() {
  std::vector<std::string> names;
  for (const char** name = sb_stemmer_list(); *name; ++name) names.emplace_back(*name);
  return names;
}

Result<std::unique_ptr<Analyzer>> Analyzer::make(std::string_view language) {
  std::unique_ptr<Analyzer> made(new Analyzer);
  const std::string name(language);
  made->latin_ = std::make_unique<Stemmer>(name.c_str());
  if (!made->latin_->there())
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("There is no stemmer for '{}'; there are: {}.", name.substr(0, 32),
                            fmt::join(languages(), ", ")),
                "language");
  made->english_ = name == "english" || name == "porter";
  made->cyrillic_ = std::make_unique<Stemmer>("russian");
  made->greek_ = std::make_unique<Stemmer>("greek");
  return made;
}

std::string Analyzer::stem(std::string word) {
  if (is_cyrillic(word)) return cyrillic_->stem(word);
  if (is_greek(word)) return greek_->stem(word);
  if (english_)
    if (const std::string_view base = base_form(word); !base.empty()) word = base;
  return latin_->stem(word);
}

std::vector<std::string> Analyzer::terms(std::string_view text) {
  std::vector<std::string> terms;
  for (journal::TermAt& word : journal::words_at(text, kMaxIndexedWords))
    terms.push_back(says_nothing(word.term) ? std::string() : stem(std::move(word.term)));
  return terms;
}

std::string Analyzer::term(std::string_view word) {
  auto words = journal::words_at(word, 1);
  return words.empty() ? std::string() : stem(std::move(words.front().term));
}

std::vector<std::string> Analyzer::query_terms(std::string_view question) {
  std::vector<std::string> distinct;
  for (std::string& term : terms(question))
    if (!term.empty() && std::ranges::find(distinct, term) == distinct.end())
      distinct.push_back(std::move(term));
  return distinct;
}

}  // namespace perdure::memory
