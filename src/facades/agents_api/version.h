// Which dated version of the API a request asks for: the only place that reads the beta header.
//
// There is one version, "agents=v1". The header is accepted and not demanded, because a client that
// names no version can mean no other. A version we do not know is refused rather than guessed at.
// Tokens of other APIs' betas in the same header are none of our business.
#pragma once

#include "base/error.h"
#include "http/message.h"

namespace perdure::facades::agents_api {

enum class Version { kBeta1 };

/// kInvalidArgument with reason "invalid_beta".
Result<Version> read_version(const http::Headers& headers);

}  // namespace perdure::facades::agents_api
