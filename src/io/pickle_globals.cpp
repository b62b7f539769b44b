#include "ldm/io/pickle_globals.h"

#include <algorithm>
#include <array>
#include <cstdio>

namespace ldm {
namespace {

using Role = GlobalRole;

constexpr std::array kGlobals = std::to_array<KnownGlobal>({
    {"torch._utils", "_rebuild_tensor_v2", Role::kRebuildTensorV2},
    {"torch._utils", "_rebuild_tensor", Role::kRebuildTensor},
    {"torch._utils", "_rebuild_parameter", Role::kRebuildParameter},
    {"collections", "OrderedDict", Role::kOrderedDict},
    {"torch", "FloatStorage", Role::kStorageType, DType::F32},
    {"torch", "HalfStorage", Role::kStorageType, DType::F16},
    {"torch", "BFloat16Storage", Role::kStorageType, DType::BF16},
    {"torch", "DoubleStorage", Role::kStorageType, DType::F64},
    {"torch", "LongStorage", Role::kStorageType, DType::I64},
    {"torch", "IntStorage", Role::kStorageType, DType::I32},
    {"torch", "ShortStorage", Role::kStorageType, DType::I16},
    {"torch", "CharStorage", Role::kStorageType, DType::I8},
    {"torch", "ByteStorage", Role::kStorageType, DType::U8},
    {"torch", "BoolStorage", Role::kStorageType, DType::BOOL},
    // Lightning: the class is a key of the dict "callbacks".
    {"pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint", Role::kOpaqueObject},
    {"pytorch_lightning.callbacks", "model_checkpoint", Role::kOpaqueObject},
    // Scores that callbacks keep.
    {"numpy.core.multiarray", "scalar", Role::kOpaqueObject},
    {"numpy._core.multiarray", "scalar", Role::kOpaqueObject},
    {"numpy", "dtype", Role::kOpaqueObject},
    {"_codecs", "encode", Role::kOpaqueObject},
    {"__builtin__", "set", Role::kOpaqueObject},
    {"builtins", "set", Role::kOpaqueObject},
    {"torch", "Size", Role::kOpaqueObject},
    {"torch", "device", Role::kOpaqueObject},
    {"torch", "float32", Role::kConstant},
    {"torch", "float64", Role::kConstant},
    {"torch", "float16", Role::kConstant},
    {"torch", "bfloat16", Role::kConstant},
    {"torch", "int8", Role::kConstant},
    {"torch", "uint8", Role::kConstant},
    {"torch", "int16", Role::kConstant},
    {"torch", "int32", Role::kConstant},
    {"torch", "int64", Role::kConstant},
    {"torch", "bool", Role::kConstant},
    {"torch", "complex64", Role::kConstant},
    {"torch", "complex128", Role::kConstant},
});

struct Opcode {
  unsigned char code;
  std::string_view name;
};

// Python's pickletools, protocols 0 to 5.
constexpr std::array kOpcodes = std::to_array<Opcode>({
    {'(', "MARK"},
    {'.', "STOP"},
    {'0', "POP"},
    {'1', "POP_MARK"},
    {'2', "DUP"},
    {'F', "FLOAT"},
    {'I', "INT"},
    {'J', "BININT"},
    {'K', "BININT1"},
    {'L', "LONG"},
    {'M', "BININT2"},
    {'N', "NONE"},
    {'P', "PERSID"},
    {'Q', "BINPERSID"},
    {'R', "REDUCE"},
    {'S', "STRING"},
    {'T', "BINSTRING"},
    {'U', "SHORT_BINSTRING"},
    {'V', "UNICODE"},
    {'X', "BINUNICODE"},
    {'a', "APPEND"},
    {'b', "BUILD"},
    {'c', "GLOBAL"},
    {'d', "DICT"},
    {'}', "EMPTY_DICT"},
    {'e', "APPENDS"},
    {'g', "GET"},
    {'h', "BINGET"},
    {'i', "INST"},
    {'j', "LONG_BINGET"},
    {'l', "LIST"},
    {']', "EMPTY_LIST"},
    {'o', "OBJ"},
    {'p', "PUT"},
    {'q', "BINPUT"},
    {'r', "LONG_BINPUT"},
    {'s', "SETITEM"},
    {'t', "TUPLE"},
    {')', "EMPTY_TUPLE"},
    {'u', "SETITEMS"},
    {'G', "BINFLOAT"},
    {0x80, "PROTO"},
    {0x81, "NEWOBJ"},
    {0x82, "EXT1"},
    {0x83, "EXT2"},
    {0x84, "EXT4"},
    {0x85, "TUPLE1"},
    {0x86, "TUPLE2"},
    {0x87, "TUPLE3"},
    {0x88, "NEWTRUE"},
    {0x89, "NEWFALSE"},
    {0x8a, "LONG1"},
    {0x8b, "LONG4"},
    {'B', "BINBYTES"},
    {'C', "SHORT_BINBYTES"},
    {0x8c, "SHORT_BINUNICODE"},
    {0x8d, "BINUNICODE8"},
    {0x8e, "BINBYTES8"},
    {0x8f, "EMPTY_SET"},
    {0x90, "ADDITEMS"},
    {0x91, "FROZENSET"},
    {0x92, "NEWOBJ_EX"},
    {0x93, "STACK_GLOBAL"},
    {0x94, "MEMOIZE"},
    {0x95, "FRAME"},
    {0x96, "BYTEARRAY8"},
    {0x97, "NEXT_BUFFER"},
    {0x98, "READONLY_BUFFER"},
});

}  // namespace

std::span<const KnownGlobal> known_globals() { return kGlobals; }

std::optional<std::size_t> find_known_global(std::string_view module, std::string_view name) {
  const auto found = std::find_if(kGlobals.begin(), kGlobals.end(), [&](const KnownGlobal& row) {
    return row.module == module && row.name == name;
  });
  if (found == kGlobals.end()) return std::nullopt;
  return static_cast<std::size_t>(found - kGlobals.begin());
}

std::string pickle_opcode_name(unsigned char code) {
  for (const Opcode& row : kOpcodes) {
    if (row.code == code) return std::string(row.name);
  }
  std::array<char, 8> text{};
  std::snprintf(text.data(), text.size(), "0x%02X", code);
  return text.data();
}

}  // namespace ldm
