// Frames and whole streams as Amazon Bedrock sends them, for tests.
#pragma once

#include <string>

#include "base/event_stream.h"

namespace perdure::models::testing {

inline std::string event_frame(std::string event, std::string payload) {
  return *encode_event_stream({{{":event-type", std::move(event)},
                                {":content-type", std::string("application/json")},
                                {":message-type", std::string("event")}},
                               std::move(payload)});
}

inline std::string exception_frame(std::string type, std::string payload) {
  return *encode_event_stream({{{":exception-type", std::move(type)},
                                {":content-type", std::string("application/json")},
                                {":message-type", std::string("exception")}},
                               std::move(payload)});
}

/// The head and the frames of a stream whose end is the connection's.
inline std::string stream_answer(std::string_view frames) {
  return "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.amazon.eventstream\r\n"
         "x-amzn-RequestId: 11112222-3333-4444\r\nConnection: close\r\n\r\n" +
         std::string(frames);
}

}  // namespace perdure::models::testing
