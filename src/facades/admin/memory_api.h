// Memory over HTTP: stores, records, search, what is always told, and erasure.
//
// Works on the caller's project; only the operator may name another one (`?project=`). A store of a
// workstream is seen and changed by those who see and may work in that workstream; to others it is
// not there. Owned by the composition root, outlives the server, called on the loop. What is made
// and erased is logged with who did it, never with a text.
//
//   POST, GET /api/memory/stores   GET, DELETE …/{store}
//   POST, GET …/{store}/records    GET …/{store}/records/{record}
//   POST …/{store}/search          GET …/{store}/standing
//   POST …/{store}/erasures        GET …/{store}/erasures/{erasure}
#pragma once

#include <functional>

#include "facades/admin/requests.h"
#include "http/message.h"
#include "http/router.h"
#include "identity/api_keys.h"
#include "identity/caller.h"
#include "memory/memories.h"
#include "resources/workstreams.h"

namespace perdure::facades::admin {

class MemoryApi {
 public:
  struct Parts {
    memory::Memories& memories;
    resources::Workstreams& workstreams;
    identity::ApiKeys& keys;
    std::function<identity::Caller(const http::Request&)> caller_of;
  };
  explicit MemoryApi(Parts parts) : parts_(std::move(parts)) {}
  MemoryApi(const MemoryApi&) = delete;

  void add_routes(http::Router& router);

 private:
  using Answer = Result<http::Response>;
  using Operation = async::Task<Answer> (MemoryApi::*)(http::Request, identity::Caller);

  async::Task<http::Response> serve(Operation operation, http::Request request);
  async::Task<Result<identity::Caller>> caller_in_project(http::Request request);
  /// The store that the path names. kNotFound for who does not see it, kPermissionDenied for who
  /// may not do this in it.
  async::Task<Result<memory::Store>> store_of(http::Request request, identity::Caller caller,
                                              resources::Access needed);

  async::Task<Answer> create(http::Request request, identity::Caller caller);
  async::Task<Answer> list(http::Request request, identity::Caller caller);
  async::Task<Answer> show(http::Request request, identity::Caller caller);
  async::Task<Answer> remove(http::Request request, identity::Caller caller);
  async::Task<Answer> add_records(http::Request request, identity::Caller caller);
  async::Task<Answer> list_records(http::Request request, identity::Caller caller);
  async::Task<Answer> show_record(http::Request request, identity::Caller caller);
  async::Task<Answer> search(http::Request request, identity::Caller caller);
  async::Task<Answer> standing(http::Request request, identity::Caller caller);
  async::Task<Answer> erase(http::Request request, identity::Caller caller);
  async::Task<Answer> show_erasure(http::Request request, identity::Caller caller);

  Parts parts_;
};

}  // namespace perdure::facades::admin
