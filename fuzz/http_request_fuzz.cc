// Drives the parse path of a connection: a head, its routing, a sized or chunked body, the next
// head.
//
// The input is read twice, whole and in small cuts, and both must understand the same: where the
// requests end must not depend on how the network delivered them.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "http/chunk_decoder.h"
#include "http/request_parser.h"
#include "http/router.h"

namespace {

using namespace perdure::http;

constexpr std::size_t kMaxBody = 1 << 16;

/// What one reader of the connection understood, as text.
struct Reading {
  std::vector<std::string> requests;
  int refused = 0;
};

const Router& router() {
  static const Router kRouter = [] {
    Router made;
    for (const char* path : {"/", "/v1/agents", "/v1/agents/{id}", "/v1/agents/{id}/x/{y}"}) {
      Route route;
      route.method = "GET";
      route.path = path;
      made.add(std::move(route));
    }
    return made;
  }();
  return kRouter;
}

/// Bytes of a connection that arrive `step` at a time.
class Wire {
 public:
  Wire(std::string_view all, std::size_t step) : all_(all), step_(step) {}
  bool receive() {
    if (arrived_ == all_.size()) return false;
    arrived_ = std::min(all_.size(), arrived_ + step_);
    return true;
  }
  std::string_view waiting() const { return all_.substr(taken_, arrived_ - taken_); }
  void consume(std::size_t bytes) {
    if (bytes > waiting().size()) std::abort();
    taken_ += bytes;
  }

 private:
  std::string_view all_;
  std::size_t step_;
  std::size_t arrived_ = 0;
  std::size_t taken_ = 0;
};

bool read_body(Wire& wire, const Framing& framing, std::string& body, int& refused) {
  if (!framing.chunked) {
    if (framing.content_length > kMaxBody) {
      refused = 413;
      return false;
    }
    while (body.size() < framing.content_length) {
      std::size_t take =
          std::min<std::size_t>(framing.content_length - body.size(), wire.waiting().size());
      body += wire.waiting().substr(0, take);
      wire.consume(take);
      if (body.size() < framing.content_length && !wire.receive()) return false;
    }
    return true;
  }
  ChunkDecoder decoder(kMaxBody);
  for (;;) {
    std::size_t consumed = 0;
    auto state = decoder.decode(wire.waiting(), consumed, body);
    wire.consume(consumed);
    if (body.size() > kMaxBody) std::abort();
    if (state == ChunkDecoder::State::kDone) return true;
    if (state == ChunkDecoder::State::kMalformed) refused = 400;
    if (state == ChunkDecoder::State::kTooLarge) refused = 413;
    if (state != ChunkDecoder::State::kMore || !wire.receive()) return false;
  }
}

Reading read_connection(std::string_view input, std::size_t step) {
  Reading reading;
  Wire wire(input, step);
  for (;;) {
    RequestParser parser;
    auto state = RequestParser::State::kMore;
    while (state == RequestParser::State::kMore) {
      std::size_t consumed = 0;
      state = parser.parse(wire.waiting(), consumed);
      wire.consume(consumed);
      if (state == RequestParser::State::kMore && !wire.receive()) return reading;
    }
    if (state == RequestParser::State::kRefused) {
      reading.refused = parser.refusal().status;
      if (reading.refused < 400 || parser.refusal().error.message.empty()) std::abort();
      return reading;
    }
    Request request = std::move(parser.request());
    const Framing framing = parser.framing();
    if (!request.path.starts_with('/') || request.headers.count("host") > 1) std::abort();
    if (framing.chunked && framing.content_length > 0) std::abort();
    Router::Match match = router().match(request.method, request.path);
    if (match.route && !match.allowed.empty()) std::abort();
    if (!read_body(wire, framing, request.body, reading.refused)) return reading;
    reading.requests.push_back(request.method + ' ' + request.target + '\n' + request.body);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  Reading whole = read_connection(input, std::max<std::size_t>(size, 1));
  for (std::size_t step : {std::size_t{1}, std::size_t{7}}) {
    Reading cut = read_connection(input, step);
    if (cut.requests != whole.requests) std::abort();
    // Incomplete input may be refused sooner or later, complete input never differently.
    if (cut.refused && whole.refused && (cut.refused == 413) != (whole.refused == 413))
      std::abort();
  }
  return 0;
}
