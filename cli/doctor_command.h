// `perdure doctor`: what works on this host and why not. It asks the host itself, no server.
#pragma once

namespace perdure::cli {

/// Prints one line a probe. kFailed where no sandbox can be made.
int examine_sandboxes(bool as_json);

}  // namespace perdure::cli
