// The name of a node that stays the same when it is started again.
//
// A file of the data directory, made at the first start. The lock beside it says that no other
// process of this machine runs under that name, so a node that starts may end what the store still
// believes to be alive under it, instead of waiting for its lease to run out.
#pragma once

#include <memory>
#include <string>

#include "base/env.h"
#include "base/error.h"

namespace perdure::app {

class NodeId {
 public:
  /// kConflict: another process has the directory.
  static Result<std::unique_ptr<NodeId>> take(const std::string& data_dir, Env& env);
  ~NodeId();
  NodeId(const NodeId&) = delete;
  NodeId& operator=(const NodeId&) = delete;

  const std::string& value() const { return value_; }

 private:
  NodeId(int lock, std::string value) : lock_(lock), value_(std::move(value)) {}
  int lock_;
  std::string value_;
};

}  // namespace perdure::app
