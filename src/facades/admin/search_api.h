// The search over a project's sessions, over HTTP. What it finds: engine/search_index.h.
//
// For any caller in its own project, where closed workstreams are their members'
// (journal/viewer.h); the operator's token sees all and reaches another project with `?project=`.
// Owned by the composition root, outlives the server, called on the loop.
//
//   GET /api/search?q=WORDS&agent=&workstream=&limit=&after=
#pragma once

#include <functional>

#include "engine/search_index.h"
#include "http/message.h"
#include "http/router.h"
#include "identity/api_keys.h"
#include "identity/caller.h"

namespace perdure::facades::admin {

class SearchApi {
 public:
  using CallerOf = std::function<identity::Caller(const http::Request&)>;

  SearchApi(engine::SearchIndex& index, identity::ApiKeys& keys, CallerOf caller_of)
      : index_(index), keys_(keys), caller_of_(std::move(caller_of)) {}
  SearchApi(const SearchApi&) = delete;

  void add_routes(http::Router& router);

 private:
  using Answer = Result<http::Response>;

  async::Task<http::Response> serve(http::Request request);
  async::Task<Answer> search(http::Request request);

  engine::SearchIndex& index_;
  identity::ApiKeys& keys_;
  CallerOf caller_of_;
};

}  // namespace perdure::facades::admin
