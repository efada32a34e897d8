#include "journal/shards.h"

#include "base/bytes.h"

namespace perdure::journal {

Shard shard_of(const SessionKey& key) {
  return static_cast<Shard>(sha256(key.project.value + '\n' + key.session.value).front());
}

}  // namespace perdure::journal
