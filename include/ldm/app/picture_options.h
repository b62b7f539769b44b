#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ldm/app/option_values.h"
#include "ldm/app/options.h"
#include "ldm/pipeline/request.h"

namespace ldm::app {

/// "L,T,R,B": pixels at the left, top, right and bottom, not all of them 0; empty for other text.
std::optional<Margins> parse_margins(std::string_view text);

/// What is wrong with the options on canvas, second pass and seams.
std::vector<Problem> check_picture_options(const Options& options);

/// Takes the same options over into a request.
void set_picture_options(const Options& options, Request& request);

/// Their settings as a picture records them, under their options' keys.
nlohmann::ordered_json picture_options_json(const Request& request);

/// The same in AUTOMATIC1111's words, each with ", " before it. Its "Hires steps" are those that
/// are run.
std::string picture_options_text(const Plan& plan);

}  // namespace ldm::app
