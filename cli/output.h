// How results are shown: aligned columns for people, JSON for programs.
#pragma once

#include <string>
#include <vector>

#include "base/env.h"

namespace perdure::cli {

using TableRow = std::vector<std::string>;

/// Columns two spaces apart, the heading first.
std::string table(const TableRow& heading, const std::vector<TableRow>& rows);

/// "2026-02-03 04:05:06" in UTC, from seconds since the epoch.
std::string date_and_time(std::int64_t seconds);

}  // namespace perdure::cli
