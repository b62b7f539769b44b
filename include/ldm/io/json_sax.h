#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "ldm/io/json.h"

namespace ldm {

/// What receives the events of one strict parse. Handlers return `refuse(…)` to stop.
class JsonHandler : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool binary(binary_t& value) final;
  bool parse_error(std::size_t position, const std::string& last_token,
                   const nlohmann::detail::exception& error) final;
  bool number_float(number_float_t value, const string_t& token) final;

  std::optional<JsonFault> fault;

 protected:
  /// A finite number with a fraction or an exponent.
  virtual bool real(double value) = 0;
  /// Records why the text is refused and returns false.
  bool refuse(JsonFault::Kind kind, std::string text);
};

/// Parses `text` into `handler`; the fault, if any, has its byte offset.
std::optional<JsonFault> parse_json_into(std::string_view text, const JsonLimits& limits,
                                         JsonHandler& handler);

}  // namespace ldm
