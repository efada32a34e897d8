// Requests from one node of a cluster to another: a request that came to the wrong node goes on to
// the right one with the word of the first about who called.
//
// The word is signed with a key that is made from the master key, which all nodes share: over
// method, target, body, caller, both nodes and a number that never comes twice. So nobody who is
// not a node can speak for a caller, and a copied request is refused. Node to node goes in the
// clear where the advertised URL is http://: use https:// or a network of your own.
//
// Owned by the composition root, used on one loop.
#pragma once

#include <bitset>
#include <cstdint>
#include <map>
#include <string>

#include "base/bytes.h"
#include "base/error.h"
#include "http/message.h"
#include "identity/caller.h"

namespace perdure::app {

/// The header field that marks a request of another node.
inline constexpr std::string_view kNodeHeader = "Perdure-Node";

class NodeRequests {
 public:
  explicit NodeRequests(const Digest& master_key);

  /// The field's value for a request of node `from` to node `to`.
  std::string sign(const http::Request& request, const identity::Caller& caller, std::uint64_t from,
                   std::uint64_t to);
  /// Who called, according to the node that sent it. kUnauthenticated where that is no node of this
  /// cluster, the request is not for `self`, or was seen before.
  Result<identity::Caller> verify(const http::Request& request, std::uint64_t self);

 private:
  /// The numbers of a sender that were seen: the last ones singly, all older ones.
  struct Seen {
    std::uint64_t newest = 0;
    std::bitset<4096> last;  // by number modulo its size
  };
  bool is_new(std::uint64_t from, std::uint64_t number);

  Digest key_;
  std::uint64_t sent_ = 0;
  std::map<std::uint64_t, Seen> seen_;
};

}  // namespace perdure::app
