// Compaction: before a request would no longer fit into the model's context window, the older part
// of what is sent is replaced by a summary that the same model writes.
//
// Nothing is deleted: the log, the items and the turns stay as they are; only what the next calls
// are sent changes. Which calls, and when:
//
//   due       the turn loop asks before every model call (`compaction_due`): the estimate of the
//             context has passed a share of the window, or the provider has just refused it as too
//             long. It then adds the intent of a summarising call (kCompactionStarted) instead.
//   plan      once the intent is durable and the context was read, `plan_compaction` decides what
//   is
//             kept as it is (the newest messages; a call is never parted from its results) and what
//             the summarising call reads: the earlier summary and the oldest messages, with long
//             tool results shortened, as many as fit. What is left is the next compaction's.
//   summary   kCompactionFinished has the text and the range of entries that it stands for. A later
//             summary is written from the earlier one.
//
// A summarising call is decided by policy, paid from budgets, routed, recovered and stopped like
// any other. Everything is bounded (limits.h), and nothing stays behind when a turn fails: the next
// turn begins anew. A model that writes no summary gets excerpts in its place. Pure functions, used
// by the actor on its loop; the fold's part is at the end.
#pragma once

#include <optional>
#include <string>

#include "engine/context.h"
#include "models/catalog.h"
#include "models/router.h"

namespace perdure::engine {

class Batch;

/// The room that a model's requests have.
struct ContextLimits {
  std::int64_t window = 0;  ///< of its widest pool; 0: not known
  std::int64_t input = 0;   ///< what of it is left beside the answer
};
ContextLimits limits_of(const models::Resolved& model);

/// Whether, and how, the context is compacted before the model call that is due.
std::optional<CompactionTerms> compaction_due(const SessionState& state,
                                              const models::Resolved& model);
/// Why the due model call cannot be made: its context does not fit, and cannot be made to.
std::optional<FailureInfo> context_too_long(const SessionState& state,
                                            const models::Resolved& model);
/// What the summarising call reads at most, in tokens.
std::int64_t tokens_of_compaction(const CompactionTerms& terms);

struct CompactionPlan {
  enum class Outcome {
    kSummarise,
    kNothing,  ///< nothing can be replaced, or it is not worth a call
    kTooLong,  ///< what must be sent does not fit, whatever is summarised
  };
  Outcome outcome = Outcome::kNothing;
  std::string why;  ///< a sentence for the user, where the turn fails for it
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::string prompt;    ///< what the summarising call reads
  std::string excerpts;  ///< what stands in for a summary that the model does not give
  std::string request;   ///< CompactionFinishedBody::request
  std::uint64_t shortened = 0;
  std::int64_t kept_tokens = 0;     ///< of everything that is sent beside the summary
  std::int64_t summary_tokens = 0;  ///< the most that it should have
  std::int64_t permille = 1000;     ///< tokens counted for 1000 estimated ones
  bool images = false;              ///< of what is kept
  bool remote_images = false;
};

/// `turn` is the one that runs.
CompactionPlan plan_compaction(const Context& context, const AgentConfig& agent,
                               const OfferedTools& offered, std::uint64_t turn,
                               const CompactionTerms& terms);
models::ModelRequest summary_request(const CompactionPlan& plan);

/// The end of a summarising call, with the model's answer or without.
Result<void> add_summary(Batch& batch, std::uint64_t call, const CompactionPlan& plan,
                         models::ModelOutput output);
Result<void> add_failed_compaction(Batch& batch, models::Router& router, std::uint64_t call,
                                   const CompactionPlan& plan, const models::ModelFailure& failure,
                                   bool may_go_on);
/// Of a model call that the provider refused as too long: whether a compaction may help.
bool may_compact(const SessionState& state, const models::ModelFailure& failure);

/// A guess: a quarter of the bytes, and what the wire adds.
std::int64_t tokens_of(const models::ContextItem& item);
std::int64_t tokens_of(const PlacedItem& placed);
/// Instructions and tools.
std::int64_t tokens_of(const AgentConfig& agent, const OfferedTools& offered);
/// The beginning and the end of a text that is longer than `bytes`, which are at least 64.
std::string shortened_text(std::string_view text, std::size_t bytes);

// The fold's part.
void note_summary(SessionState& state, std::uint64_t seq, const CompactionFinishedBody& body);
void note_compaction_abandoned(TurnState& turn, const OpenModelCall& call,
                               const ModelCallAbandonedBody& body);

}  // namespace perdure::engine
