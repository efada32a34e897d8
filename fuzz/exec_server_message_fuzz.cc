// Whatever an executor sends, what is read of it is bounded and valid; and the runner's small
// reader of JSON takes nothing that the server's does not.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/raw_json.h"
#include "executor/limits.h"
#include "executor/protocol.h"
#include "executor/runner/json.h"
#include "executor/runner/limits.h"
#include "executor/runner/plan.h"

namespace {

namespace executor = perdure::executor;
namespace runner = perdure::executor::runner;

void demand(bool kept, const char* promise) {
  if (kept) return;
  std::fprintf(stderr, "violated: %s\n", promise);
  std::abort();
}

template <class T>
void check_error(const perdure::Result<T>& result) {
  if (!result) demand(perdure::is_valid_utf8(result.error().message), "an error is text");
}

void check_result(const perdure::json::value& result) {
  check_error(executor::read_initialized(result));
  check_error(executor::read_write(result));
  check_error(executor::read_terminated(result));
  check_error(executor::read_file_content(result));
  check_error(executor::read_file_block(result));
  check_error(executor::read_metadata(result));
  check_error(executor::read_search(result));
  check_error(executor::read_path(result));
  auto entries = executor::read_directory(result);
  check_error(entries);
  if (entries) {
    for (const auto& entry : *entries)
      demand(!entry.name.contains('/'), "an entry's name leads nowhere");
  }
  auto read = executor::read_read(result);
  check_error(read);
  std::uint64_t last = 0;
  if (read) {
    for (const auto& piece : read->pieces) {
      demand(piece.seq > last, "pieces ascend");
      last = piece.seq;
    }
  }
}

void check_incoming(std::string_view input) {
  auto message = executor::read_incoming(input);
  check_error(message);
  if (!message) return;
  if (const auto* answer = std::get_if<executor::AnswerMessage>(&*message)) {
    if (answer->result)
      check_result(*answer->result);
    else
      demand(answer->result.error().message.size() < executor::kMaxErrorBytes + 4,
             "an executor's sentence is bounded");
  }
  if (const auto* output = std::get_if<executor::OutputNotice>(&*message))
    demand(!output->process_id.empty() && output->process_id.size() <= executor::kMaxIdBytes,
           "an id is one");
}

void check_runner(std::string_view input) {
  std::string error;
  auto value = runner::Json::parse(input, &error);
  demand(value || !error.empty(), "a refusal has a sentence");
  if (value)
    demand(perdure::check_strict_json(input, {.max_depth = runner::kMaxJsonDepth + 2}).has_value(),
           "what the runner reads, the server reads");
  std::string quoted = runner::quoted(input);
  demand(perdure::check_strict_json(quoted).has_value(), "what the runner writes is JSON");
  demand(runner::from_base64(input) == perdure::from_base64(input), "base64 is base64");
  demand(runner::to_base64(input) == perdure::to_base64(input), "base64 is base64");
  if (auto plan = runner::decode_plan(input))
    demand(runner::encode_plan(*plan) == input, "a plan has one text");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  check_incoming(input);
  check_runner(input);
  std::string path = "/" + std::string(input);
  demand(executor::path_of_uri(executor::file_uri(path)) == path, "a path survives its URI");
  return 0;
}
