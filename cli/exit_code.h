// What the command's exit status means; documented in docs/operations/cli.md. Scripts rely on it.
#pragma once

namespace perdure::cli {

inline constexpr int kDone = 0;
inline constexpr int kFailed = 1;       // it was tried and did not work
inline constexpr int kUsage = 2;        // the command line or the configuration is wrong
inline constexpr int kUnreachable = 3;  // no server answers
inline constexpr int kNotFound = 4;     // the server knows no such thing
inline constexpr int kDenied = 5;       // the credential is missing, wrong or not enough

}  // namespace perdure::cli
