#include "identity/request_caller.h"

#include <stdexcept>

namespace perdure::identity {
namespace {

constexpr std::string_view kProject = ":project";
constexpr std::string_view kPrincipal = ":principal";
constexpr std::string_view kOperator = ":operator";

}  // namespace

void attach_caller(http::Request& request, const Caller& caller) {
  request.headers.set(kProject, caller.project.value);
  request.headers.set(kPrincipal, caller.principal);
  request.headers.set(kOperator, caller.operator_access ? "yes" : "no");
}

Caller caller_of(const http::Request& request) {
  const auto project = request.headers.get(kProject);
  const auto principal = request.headers.get(kPrincipal);
  if (!project || !principal) throw std::logic_error("a handler was reached without the guard");
  return {.project = {std::string(*project)},
          .principal = std::string(*principal),
          .operator_access = request.headers.get(kOperator) == "yes"};
}

}  // namespace perdure::identity
