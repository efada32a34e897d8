#include "memory/store_index.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace perdure::memory {

void StoreIndex::add(const Record& record) {
  if (by_id_.contains(record.id)) return;
  auto& where = namespaces_[record.namespace_];
  if (!where) where = std::make_unique<Namespace>(analyzer_);
  where->index.add({.text = record.text,
                    .conversation = record.conversation,
                    .speaker = record.speaker,
                    .role = record.role});
  Kept kept{.id = record.id,
            .kind = record.kind,
            .trust = record.trust,
            .recorded = record.recorded,
            .valid_from = record.valid_from,
            .valid_to = record.valid_to,
            .metadata = record.metadata,
            .subject = record.subject,
            .supersedes = record.supersedes,
            .sources = record.sources,
            .sessions = {}};
  for (const Evidence& one : record.evidence) kept.sessions.push_back(one.session);
  for (const std::string& old : record.supersedes)
    superseded_.emplace(old, std::pair(record.recorded, record.id));
  by_id_.emplace(record.id, Place{where.get(), static_cast<DocumentNumber>(where->records.size())});
  where->records.push_back(std::move(kept));
}

void StoreIndex::erase(const std::set<std::string>& ids) {
  std::map<Namespace*, std::vector<DocumentNumber>> numbers;
  for (const std::string& id : ids)
    if (const auto place = by_id_.find(id); place != by_id_.end())
      numbers[place->second.where].push_back(place->second.number);
  std::erase_if(superseded_, [&](const auto& one) { return ids.contains(one.second.second); });
  for (const auto& [where, gone] : numbers) {
    where->index.erase(gone);
    std::erase_if(where->records, [&](const Kept& one) { return ids.contains(one.id); });
    for (DocumentNumber at = 0; at < where->records.size(); ++at)
      by_id_[where->records[at].id].number = at;
  }
  for (const std::string& id : ids) by_id_.erase(id);
  std::erase_if(namespaces_, [](const auto& one) { return one.second->records.empty(); });
}

std::optional<UnixMillis> StoreIndex::superseded_at(const std::string& id) const {
  std::optional<UnixMillis> first;
  const auto [from, to] = superseded_.equal_range(id);
  for (auto one = from; one != to; ++one)
    if (!first || one->second.first < *first) first = one->second.first;
  return first;
}

bool StoreIndex::admits(const Question& question, const Kept& kept, UnixMillis now) const {
  if (!question.kinds.empty() &&
      std::ranges::find(question.kinds, kept.kind) == question.kinds.end())
    return false;
  if (kept.trust < question.least_trust) return false;
  const UnixMillis valid_at = question.valid_at.value_or(now);
  if (kept.valid_from && valid_at < *kept.valid_from) return false;
  if (kept.valid_to && valid_at >= *kept.valid_to) return false;
  if (question.known_at && kept.recorded > *question.known_at) return false;
  if (!question.with_superseded)
    if (const auto since = superseded_at(kept.id);
        since && (!question.known_at || *since <= *question.known_at))
      return false;
  return std::ranges::all_of(question.metadata, [&](const auto& pair) {
    const auto found = kept.metadata.find(pair.first);
    return found != kept.metadata.end() && found->second == pair.second;
  });
}

Why StoreIndex::why(const Namespace& where, const std::string& text, DocumentNumber number) const {
  const Explanation explanation = where.index.explain(text, number);
  Why why{.terms = {},
          .speaker_boost = explanation.speaker_boost,
          .role_boost = explanation.role_boost};
  for (const TermShare& term : explanation.terms)
    why.terms.push_back({term.term, term.rarity, term.share, where.records[term.source].id});
  return why;
}

std::vector<Hit> StoreIndex::search(const Question& question, UnixMillis now) {
  struct Found {
    Match match;
    const Namespace* where;
    const Kept& kept() const { return where->records[match.document]; }
  };
  std::vector<Found> found;
  // Namespaces below have the name as their beginning, so they lie together.
  for (auto at = namespaces_.lower_bound(question.namespace_);
       at != namespaces_.end() && at->first.starts_with(question.namespace_); ++at) {
    if (!question.below && at->first != question.namespace_) break;
    const Namespace& where = *at->second;
    const auto admit = [&](DocumentNumber one) {
      return admits(question, where.records[one], now);
    };
    for (const Match& match : where.index.search(question.text, question.limit, admit, &scratch_))
      found.push_back({match, &where});
  }
  std::ranges::sort(found, [](const Found& left, const Found& right) {
    if (left.match.score != right.match.score) return left.match.score > right.match.score;
    return std::tie(left.kept().recorded, left.kept().id) >
           std::tie(right.kept().recorded, right.kept().id);
  });
  if (found.size() > question.limit)
    found.erase(found.begin() + std::ptrdiff_t(question.limit), found.end());
  std::vector<Hit> hits;
  for (const Found& one : found) {
    Hit hit{.id = one.kept().id,
            .score = one.match.score,
            .superseded = superseded_at(one.kept().id).has_value(),
            .why = {}};
    if (question.explain) hit.why = why(*one.where, question.text, one.match.document);
    hits.push_back(std::move(hit));
  }
  return hits;
}

std::vector<std::string> StoreIndex::standing(std::string_view namespace_, UnixMillis now) const {
  std::vector<const Kept*> found;
  const Question current{.text = {},
                         .kinds = {Kind::kInstruction, Kind::kPreference},
                         .least_trust = Trust::kUser,
                         .metadata = {},
                         .valid_at = {},
                         .known_at = {}};
  for (const auto& [name, where] : namespaces_) {
    if (!namespace_.starts_with(name)) continue;
    for (const Kept& kept : where->records)
      if (admits(current, kept, now)) found.push_back(&kept);
  }
  std::ranges::sort(found, {}, [](const Kept* one) {
    return std::tuple(one->kind != Kind::kInstruction, one->recorded, std::string_view(one->id));
  });
  std::vector<std::string> ids;
  ids.reserve(found.size());
  for (const Kept* one : found) ids.push_back(one->id);
  return ids;
}

std::vector<std::string> StoreIndex::with_metadata(const std::string& namespace_,
                                                   const std::string& key,
                                                   const std::string& value) const {
  std::vector<std::string> ids;
  const auto where = namespaces_.find(namespace_);
  if (where == namespaces_.end()) return ids;
  for (const Kept& kept : where->second->records)
    if (const auto pair = kept.metadata.find(key);
        pair != kept.metadata.end() && pair->second == value)
      ids.push_back(kept.id);
  return ids;
}

std::set<std::string> StoreIndex::closure(const Selection& selection) const {
  std::set<std::string> chosen;
  for (const std::string& id : selection.ids)
    if (by_id_.contains(id)) chosen.insert(id);
  std::multimap<std::string_view, const Kept*> made_from;
  for (const auto& [name, where] : namespaces_)
    for (const Kept& kept : where->records) {
      for (const std::string& source : kept.sources) made_from.emplace(source, &kept);
      const bool by_session =
          !selection.session.empty() &&
          std::ranges::find(kept.sessions, selection.session) != kept.sessions.end();
      const bool by_subject = !selection.subject.empty() && kept.subject == selection.subject;
      const bool by_namespace =
          !selection.namespace_.empty() && name.starts_with(selection.namespace_);
      if (by_session || by_subject || by_namespace) chosen.insert(kept.id);
    }
  std::vector<std::string> next(chosen.begin(), chosen.end());
  while (!next.empty()) {
    const std::string source = std::move(next.back());
    next.pop_back();
    const auto [from, to] = made_from.equal_range(source);
    for (auto one = from; one != to; ++one)
      if (chosen.insert(one->second->id).second) next.push_back(one->second->id);
  }
  return chosen;
}

}  // namespace perdure::memory
