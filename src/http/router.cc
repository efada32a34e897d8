#include "http/router.h"

#include <algorithm>
#include <stdexcept>

#include "http/percent.h"

namespace perdure::http {
namespace {

/// Takes the text up to the next "/" off `rest`; false when nothing is left.
bool next_segment(std::string_view& rest, std::string_view& segment) {
  if (rest.empty()) return false;
  rest.remove_prefix(1);  // the "/"
  segment = rest.substr(0, rest.find('/'));
  rest.remove_prefix(segment.size());
  return true;
}

bool is_parameter(std::string_view segment) {
  return segment.size() > 2 && segment.front() == '{' && segment.back() == '}';
}

}  // namespace

void Router::add(Route route) {
  if (!route.path.starts_with('/'))
    throw std::logic_error("a route's path must begin with '/': " + route.path);
  std::size_t node = 0;
  std::string_view rest = route.path;
  std::string_view segment;
  while (next_segment(rest, segment)) node = child_for(node, segment);
  for (std::size_t other : nodes_[node].routes)
    if (routes_[other].method == route.method)
      throw std::logic_error("two routes for " + route.method + ' ' + route.path);
  nodes_[node].routes.push_back(routes_.size());
  routes_.push_back(std::move(route));
}

std::size_t Router::child_for(std::size_t node, std::string_view segment) {
  if (is_parameter(segment)) {
    if (nodes_[node].parameter == 0) {
      nodes_[node].parameter = nodes_.size();
      nodes_.emplace_back();
    }
    return nodes_[node].parameter;
  }
  for (const auto& [text, child] : nodes_[node].literals)
    if (text == segment) return child;
  nodes_[node].literals.emplace_back(std::string(segment), nodes_.size());
  nodes_.emplace_back();
  return nodes_.size() - 1;
}

std::size_t Router::find(std::size_t node, const std::vector<std::string>& segments,
                         std::size_t depth, std::vector<std::string>& parameters) const {
  const Node& here = nodes_[node];
  if (depth == segments.size()) return here.routes.empty() ? 0 : node;
  const std::string& segment = segments[depth];
  for (const auto& [text, child] : here.literals) {
    if (text != segment) continue;
    if (std::size_t found = find(child, segments, depth + 1, parameters)) return found;
  }
  if (here.parameter == 0 || segment.empty()) return 0;
  parameters.push_back(segment);
  if (std::size_t found = find(here.parameter, segments, depth + 1, parameters)) return found;
  parameters.pop_back();
  return 0;
}

Router::Match Router::match(std::string_view method, std::string_view path) const {
  Match match;
  if (!path.starts_with('/')) return match;
  std::vector<std::string> segments;
  std::string_view segment;
  while (next_segment(path, segment)) {
    Result<std::string> decoded = percent_decode(segment);
    if (!decoded) {
      match.malformed = true;
      return match;
    }
    segments.push_back(std::move(*decoded));
  }
  std::size_t node = find(0, segments, 0, match.parameters);
  for (std::size_t index : nodes_[node].routes) {
    if (routes_[index].method == method) {
      match.route = &routes_[index];
      match.allowed.clear();
      return match;
    }
    match.allowed.push_back(routes_[index].method);
  }
  std::ranges::sort(match.allowed);
  return match;
}

}  // namespace perdure::http
