// Measures how well memory finds evidence: `memory_evaluate FILE…`, each file in LoCoMo's format.
//
// One document is one turn, with the caption of its image; each conversation is a namespace of its
// own. Printed are the means over questions of |evidence ∩ first k| / |evidence| and nDCG at 10, by
// category (1 multi-hop, 2 temporal, 3 open-domain, 4 single-hop, 5 adversarial) and for 1 to 4
// together. There is one setting, the server's own; nothing is tuned to a file. No judge, no model.
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/json.h"
#include "journal/search_terms.h"
#include "memory/namespace_index.h"

namespace perdure::memory {
namespace {

constexpr std::size_t kDepths[] = {5, 10, 20, 50};

struct Means {
  std::size_t questions = 0;
  double recall[std::size(kDepths)] = {};
  double gain = 0;
  double words = 0;  ///< of the first ten
};

/// "D1:3", repaired where labels are malformed ("D:11:26", "D30:05", several in one text).
std::vector<std::string> evidence_in(std::string_view text) {
  std::vector<std::string> found;
  std::size_t at = 0;
  const auto number = [&]() {
    std::string digits;
    while (at < text.size() && text[at] >= '0' && text[at] <= '9') digits += text[at++];
    while (digits.size() > 1 && digits.front() == '0') digits.erase(0, 1);
    return digits;
  };
  while ((at = text.find('D', at)) != text.npos) {
    ++at;
    if (at < text.size() && text[at] == ':') ++at;
    const std::string session = number();
    if (session.empty() || at >= text.size() || text[at] != ':') continue;
    ++at;
    const std::string turn = number();
    if (!turn.empty()) found.push_back("D" + session + ":" + turn);
  }
  return found;
}

void measure(const json::object& sample, std::map<int, Means>* by_category, bool verbose) {
  auto analyzer = Analyzer::make("english");
  NamespaceIndex index(analyzer->get());
  std::vector<std::string> ids;
  std::vector<std::size_t> lengths;
  std::map<std::string, std::string> texts;
  const json::object& conversation = get_object(sample, "conversation");
  for (int session = 1;; ++session) {
    const std::string name = "session_" + std::to_string(session);
    const json::value* turns = find(conversation, name);
    if (!turns && session > 60) break;
    if (!turns || !turns->is_array()) continue;
    for (const json::value& value : turns->get_array()) {
      const json::object& turn = value.as_object();
      std::string text(get_string(turn, "text"));
      if (const auto caption = get_string(turn, "blip_caption"); !caption.empty())
        text.append(" ").append(caption);
      index.add({.text = text,
                 .conversation = name,
                 .speaker = get_string(turn, "speaker"),
                 .role = Speaking::kUser});
      lengths.push_back(journal::words_at(text).size());
      ids.emplace_back(get_string(turn, "dia_id"));
      texts[ids.back()] = text;
    }
  }
  const std::set<std::string> known(ids.begin(), ids.end());
  Scratch scratch;
  for (const json::value& value : get_array(sample, "qa")) {
    const json::object& question = value.as_object();
    std::set<std::string> evidence;
    for (const json::value& one : get_array(question, "evidence"))
      if (one.is_string())
        for (std::string& id : evidence_in(as_view(one.get_string())))
          if (known.contains(id)) evidence.insert(std::move(id));
    if (evidence.empty()) continue;
    const auto found = index.search(get_string(question, "question"), 50, nullptr, &scratch);
    Means& means = (*by_category)[static_cast<int>(get_int(question, "category"))];
    ++means.questions;
    double best = 0, gain = 0;
    for (std::size_t rank = 0; rank < std::min<std::size_t>(10, evidence.size()); ++rank)
      best += 1 / std::log2(double(rank) + 2);
    std::size_t hits = 0;
    for (std::size_t rank = 0; rank < found.size(); ++rank) {
      if (rank < 10) means.words += double(lengths[found[rank].document]);
      if (!evidence.contains(ids[found[rank].document])) continue;
      ++hits;
      if (rank < 10) gain += 1 / std::log2(double(rank) + 2);
      for (std::size_t k = 0; k < std::size(kDepths); ++k)
        if (rank < kDepths[k]) means.recall[k] += 1 / double(evidence.size());
    }
    means.gain += gain / best;
    if (verbose && hits < evidence.size()) {
      std::printf("? %s (%d)\n", std::string(get_string(question, "question")).c_str(),
                  int(get_int(question, "category")));
      std::set<std::string> ten;
      for (std::size_t rank = 0; rank < std::min<std::size_t>(10, found.size()); ++rank)
        ten.insert(ids[found[rank].document]);
      for (const std::string& id : evidence)
        std::printf("  %s %s %s\n", ten.contains(id) ? "+" : "-", id.c_str(), texts[id].c_str());
    }
  }
}

void print(const char* name, const Means& means) {
  const double n = std::max<double>(1, double(means.questions));
  std::printf("%-12s %5zu", name, means.questions);
  for (const double recall : means.recall) std::printf("  %5.1f", 100 * recall / n);
  std::printf("  %5.1f  %6.0f\n", 100 * means.gain / n, 1.3 * means.words / n);
}

}  // namespace
}  // namespace perdure::memory

int main(int count, char** arguments) {
  using namespace perdure;
  using namespace perdure::memory;
  std::map<int, Means> by_category;
  bool verbose = false;
  for (int at = 1; at < count; ++at) {
    if (std::string_view(arguments[at]) == "--misses") {
      verbose = true;
      continue;
    }
    std::ifstream file(arguments[at], std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(file)), {});
    auto samples = parse_json(text);
    if (!samples || !samples->is_array()) {
      std::fprintf(stderr, "%s is not a list of conversations in LoCoMo's format\n", arguments[at]);
      return 2;
    }
    for (const json::value& sample : samples->get_array())
      measure(sample.as_object(), &by_category, verbose);
  }
  if (by_category.empty()) {
    std::fprintf(stderr, "usage: memory_evaluate [--misses] FILE…\n");
    return 2;
  }
  std::printf("%-12s %5s  %5s  %5s  %5s  %5s  %5s  %6s\n", "category", "n", "R@5", "R@10", "R@20",
              "R@50", "nDCG", "tokens");
  Means together;
  const char* const names[] = {"",       "1 multi-hop", "2 temporal",
                               "3 open", "4 single",    "5 adversarial"};
  for (const auto& [category, means] : by_category) {
    print(category >= 1 && category <= 5 ? names[category] : "other", means);
    if (category < 1 || category > 4) continue;
    together.questions += means.questions;
    for (std::size_t k = 0; k < std::size(kDepths); ++k) together.recall[k] += means.recall[k];
    together.gain += means.gain;
    together.words += means.words;
  }
  print("1 to 4", together);
}
