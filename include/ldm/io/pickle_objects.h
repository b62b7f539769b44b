#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ldm/io/pickle.h"
#include "ldm/io/pickle_value.h"

namespace ldm {

/// Throws the rule's error, with the byte of the pickle.
[[noreturn]] void refuse_pickle(const char* rule, const std::string& what, std::size_t at);

/// Describes what the opcodes that would run Python code (REDUCE, NEWOBJ, BUILD, BINPERSID) ask
/// for, of the pickle machine. `at` is the opcode's byte, for messages.
class PickleObjects {
 public:
  PickleObjects(PickleArena& arena, const PickleLimits& limits) : arena_(arena), limits_(limits) {}

  /// `callable(*arguments)`.
  PickleValue reduce(const PickleValue& callable, const PickleValue& arguments, std::size_t at);
  /// `type.__new__(type, *arguments)`.
  PickleValue new_object(const PickleValue& type, const PickleValue& arguments, std::size_t at);
  /// `object.__setstate__(state)`: the state is dropped.
  void build(const PickleValue& object, const PickleValue& state, std::size_t at);
  /// The storage that a persistent id names.
  PickleValue storage(const PickleValue& id, std::size_t at);

 private:
  PickleValue ordered_dict(const PickleValue& pairs, std::size_t at);
  PickleValue rebuild_tensor(std::span<const PickleValue> arguments, std::size_t at);
  std::vector<std::int64_t> dimensions(const PickleValue& tuple, const char* what, std::size_t at);
  void check_autograd(DType dtype, std::span<const PickleValue> arguments, std::size_t at) const;
  void check_view(const PickleStorage& storage, std::int64_t offset,
                  std::span<const std::int64_t> sizes, std::span<const std::int64_t> strides,
                  std::size_t at) const;

  PickleArena& arena_;
  const PickleLimits& limits_;
  std::unordered_map<std::string_view, std::uint32_t> storage_of_key_;
  std::size_t copied_items_ = 0;
};

}  // namespace ldm
