#include "main/doctor.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <exception>
#include <filesystem>

namespace perdure::app {

std::vector<executor::ProbeResult> examine_sandboxes() {
  boost::asio::io_context io;
  SystemEnv env;
  std::vector<executor::ProbeResult> results;
  std::exception_ptr failed;
  boost::asio::co_spawn(io,
                        executor::probe_host(io.get_executor(), &env,
                                             std::filesystem::temp_directory_path().string()),
                        [&](std::exception_ptr error, std::vector<executor::ProbeResult> found) {
                          failed = error;
                          results = std::move(found);
                        });
  io.run();
  if (failed) std::rethrow_exception(failed);
  return results;
}

}  // namespace perdure::app
