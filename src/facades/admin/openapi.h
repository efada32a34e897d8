// The OpenAPI 3.1 document of this server, made from the route table: what is not a route is not in
// it, and every route is. A pure function.
#pragma once

#include <string>
#include <string_view>

#include "http/router.h"

namespace perdure::facades::admin {

std::string openapi_document(const http::Router& router, std::string_view version);

}  // namespace perdure::facades::admin
