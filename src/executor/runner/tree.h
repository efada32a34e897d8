// Whole directory trees: walked, removed and copied by descriptors, without following a link.
//
// Functions without state; what they give back is 0 or an errno value. They go kMaxTreeDepth
// directories deep (ENAMETOOLONG below that).
#pragma once

#include <expected>
#include <functional>
#include <string>
#include <vector>

namespace perdure::executor::runner {

/// Names in a directory, in its own order; E2BIG if there are more than `most`.
std::expected<std::vector<std::string>, int> names_in(int directory, std::size_t most);

/// Removes an entry; a directory only if it is empty or `recursive`.
int remove_tree(int parent, const std::string& name, bool recursive);

/// Copies a file, a link (as a link) or, if `recursive`, a directory (EISDIR otherwise). What is
/// there already is overwritten, file by file. ELOOP: the target lies within the source.
int copy_tree(int from_parent, const std::string& from, int to_parent, const std::string& to,
              bool recursive);

/// Calls `visit(relative path, descriptor)` for every regular file below, in order of names, until
/// it gives false. False if it did, or there was too much.
bool each_file(int directory, std::size_t most,
               const std::function<bool(const std::string&, int)>& visit);

}  // namespace perdure::executor::runner
