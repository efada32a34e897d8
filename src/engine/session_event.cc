#include "engine/session_event.h"

namespace perdure::engine {

std::string SessionEvent::id() const {
  if (durable) return local_id("evt", session_id, place);
  // 16 bits of ordinal per sub-index would be too few for a long answer: widen the name.
  return local_id("evd", session_id, {place.seq, ordinal & 0xffff}) +
         (ordinal > 0xffff ? "_" + std::to_string(ordinal >> 16) : std::string());
}

std::optional<Place> parse_event_id(std::string_view id, const SessionId& session) {
  return parse_local_id(id, "evt", session);
}

}  // namespace perdure::engine
