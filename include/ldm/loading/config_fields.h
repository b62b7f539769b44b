#pragma once

#include <string>

#include "ldm/core/config_types.h"
#include "ldm/core/log.h"
#include "ldm/core/text.h"
#include "ldm/io/fields.h"

namespace ldm {

/// One value for all levels, or a list with one value a level.
template <typename T>
void read_field(const nlohmann::json& value, ValueOrList<T>& out, const std::string& path) {
  if (!value.is_array()) {
    T single{};
    read_field(value, single, path);
    out = ValueOrList<T>(single);
    return;
  }
  std::vector<T> list;
  for (std::size_t i = 0; i < value.size(); ++i) {
    T item{};
    read_field(value[i], item, path + "/" + std::to_string(i));
    list.push_back(item);
  }
  out = ValueOrList<T>(std::move(list));
}

/// Removes from `keys` what transformers writes into every config and no model reads.
void drop_bookkeeping_keys(std::vector<std::string>& keys);

/// Reads a component's config over the defaults of T; unknown keys are warned about.
template <typename T>
T read_config(const nlohmann::json& json, const std::string& where) {
  T config;
  std::vector<std::string> unknown = read_fields(json, config, where);
  drop_bookkeeping_keys(unknown);
  if (!unknown.empty()) {
    log_warning("unknown-config-keys", cat(where, ": ignored unknown keys: ", join(unknown, ", ")));
  }
  return config;
}

}  // namespace ldm
