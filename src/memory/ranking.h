// The one fixed setting of the lexical ranking, for every store and every data set.
//
// A document counts with its own words and, less, with those of its neighbours in the same
// conversation: an answer seldom repeats the words of the question that it follows. Of each term
// only the best occurrence in that window counts, so a word said five times is no five answers.
#pragma once

#include <array>

namespace perdure::memory {

/// BM25: how soon repetition stops to matter, and how much texts longer than the average are held
/// back. Shorter ones are not lifted: in talk, the shortest lines say least.
inline constexpr float kSaturation = 1.2F;
inline constexpr float kLengthPenalty = 0.75F;

/// What a word said one, two … documents before this one counts, and one, two … after it.
inline constexpr std::array kBack = {0.7F, 0.5F, 0.3F, 0.2F, 0.1F};
inline constexpr std::array kForward = {0.4F, 0.2F, 0.1F};

/// Documents of the one speaker whom a question names, and what users said rather than agents.
inline constexpr float kSpeakerBoost = 1.5F;
inline constexpr float kUserBoost = 1.6F;

}  // namespace perdure::memory
