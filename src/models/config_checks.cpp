#include "ldm/models/config_checks.h"

#include <algorithm>
#include <cmath>

#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm::models {

void ConfigChecks::refuse(const std::string& field, const std::string& problem) const {
  throw Error::model(cat(config, ": ", field, " ", problem));
}

void ConfigChecks::refuse_length(const std::string& field, std::size_t count,
                                 std::size_t levels) const {
  refuse(field, cat("has ", count, " values for ", levels, " levels"));
}

void ConfigChecks::range(const std::string& field, std::int64_t value, std::int64_t low,
                         std::int64_t high) const {
  if (value < low || value > high) {
    refuse(field, cat("is ", value, ", expected ", low, " to ", high));
  }
}

void ConfigChecks::range(const std::string& field, const IntOrList& list, std::int64_t low,
                         std::int64_t high) const {
  for (const std::int64_t value : list.values) range(field, value, low, high);
}

void ConfigChecks::positive(const std::string& field, double value) const {
  if (!(value > 0.0) || !std::isfinite(value)) {
    refuse(field, cat("is ", value, ", expected a number above 0"));
  }
}

void ConfigChecks::not_zero(const std::string& field, double value) const {
  if (value == 0.0 || !std::isfinite(value)) {
    refuse(field, cat("is ", value, ", expected a number but 0"));
  }
}

void ConfigChecks::one_of(const std::string& field, const std::string& value,
                          std::initializer_list<std::string_view> known) const {
  if (std::find(known.begin(), known.end(), value) != known.end()) return;
  std::string names;
  for (const std::string_view name : known) {
    names += (names.empty() ? "" : ", ") + std::string(name);
  }
  refuse(field, cat("\"", value, "\" is not supported (known: ", names, ")"));
}

}  // namespace ldm::models
