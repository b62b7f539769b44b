#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "ldm/core/config_types.h"

namespace ldm::models {

/// Refuses what the fields of one model's config cannot be; each check throws Error::model that
/// names the field, what it is and what it may be.
struct ConfigChecks {
  std::string_view config;  ///< begins every message: "UNet config"

  [[noreturn]] void refuse(const std::string& field, const std::string& problem) const;

  /// Whole numbers from `low` to `high`, both included.
  void range(const std::string& field, std::int64_t value, std::int64_t low,
             std::int64_t high) const;
  void range(const std::string& field, const IntOrList& list, std::int64_t low,
             std::int64_t high) const;

  /// Finite and above zero.
  void positive(const std::string& field, double value) const;

  /// Finite and not zero.
  void not_zero(const std::string& field, double value) const;

  void one_of(const std::string& field, const std::string& value,
              std::initializer_list<std::string_view> known) const;

  /// One value, or as many as there are levels.
  template <class T>
  void fits(const std::string& field, const ValueOrList<T>& list, std::size_t levels) const {
    if (!list.fits(levels)) refuse_length(field, list.values.size(), levels);
  }

  /// `count` values for `levels` levels.
  void length(const std::string& field, std::size_t count, std::size_t levels) const {
    if (count != levels) refuse_length(field, count, levels);
  }

  /// Fields of models that this program does not run.
  template <class T>
  void absent(const std::string& field, const std::optional<T>& value) const {
    if (value) refuse(field, "is not supported: it belongs to another family of models");
  }

 private:
  [[noreturn]] void refuse_length(const std::string& field, std::size_t count,
                                  std::size_t levels) const;
};

// Far above every published model; they keep a hostile config from building modules without end.
constexpr std::int64_t kMaxLevels = 16;
constexpr std::int64_t kMaxLayers = 64;
constexpr std::int64_t kMaxWidth = 65536;
constexpr std::int64_t kMaxClasses = 1 << 24;
constexpr std::int64_t kMaxSide = 1 << 20;

}  // namespace ldm::models
