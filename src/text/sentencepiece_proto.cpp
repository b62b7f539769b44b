#include "ldm/text/sentencepiece_proto.h"

#include <bit>
#include <cmath>
#include <cstddef>
#include <unordered_set>
#include <utility>

#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm {
namespace {

constexpr std::size_t kMostPieces = std::size_t{1} << 20U;
constexpr std::size_t kMostPieceBytes = 4096;
constexpr std::uint64_t kUnigram = 1;
constexpr std::uint64_t kMostModelType = 4;

// Field numbers of sentencepiece_model.proto.
constexpr std::uint64_t kPieces = 1;
constexpr std::uint64_t kTrainerSpec = 2;
constexpr std::uint64_t kNormalizerSpec = 3;
constexpr std::uint64_t kPieceText = 1;
constexpr std::uint64_t kPieceScore = 2;
constexpr std::uint64_t kPieceType = 3;
constexpr std::uint64_t kModelType = 3;
constexpr std::uint64_t kCharsmap = 2;
constexpr std::uint64_t kAddDummyPrefix = 3;
constexpr std::uint64_t kRemoveExtraWhitespaces = 4;
constexpr std::uint64_t kEscapeWhitespaces = 5;

constexpr std::uint64_t kVarint = 0;
constexpr std::uint64_t kFixed64 = 1;
constexpr std::uint64_t kBytes = 2;
constexpr std::uint64_t kFixed32 = 5;

[[noreturn]] void refuse(const std::string& rule, const std::string& file,
                         const std::string& what) {
  throw Error::model_rule(rule, cat(file, ": ", what),
                          "download the SentencePiece model file again from the model's source");
}

// ---- the protobuf wire format ----

struct Field {
  std::uint64_t number = 0;
  std::uint64_t wire = 0;
  std::uint64_t value = 0;  // of a varint or a fixed number
  std::string_view bytes;   // of a length-delimited field
};

// Walks over the fields of one message.
class WireReader {
 public:
  WireReader(std::string_view message, const std::string& file) : rest_(message), file_(file) {}

  bool done() const { return rest_.empty(); }

  Field next() {
    Field field;
    const std::uint64_t key = varint();
    field.number = key >> 3U;
    field.wire = key & 7U;
    if (field.number == 0) refuse("E_SPM_WIRE", file_, "not a SentencePiece model");
    switch (field.wire) {
      case kVarint:
        field.value = varint();
        break;
      case kFixed64:
        field.value = fixed(8);
        break;
      case kBytes:
        field.bytes = take(varint());
        break;
      case kFixed32:
        field.value = fixed(4);
        break;
      default:
        refuse("E_SPM_WIRE", file_, "not a SentencePiece model");
    }
    return field;
  }

 private:
  std::string_view take(std::uint64_t size) {
    if (size > rest_.size()) refuse("E_SPM_WIRE", file_, "not a SentencePiece model, or cut off");
    const std::string_view out = rest_.substr(0, static_cast<std::size_t>(size));
    rest_.remove_prefix(out.size());
    return out;
  }

  std::uint64_t fixed(std::size_t size) {
    std::uint64_t value = 0;
    const std::string_view bytes = take(size);
    for (std::size_t i = size; i > 0; --i) {
      value = value << 8U | static_cast<unsigned char>(bytes[i - 1]);
    }
    return value;
  }

  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1).front());
      value |= static_cast<std::uint64_t>(byte & 0x7FU) << shift;
      if (byte < 0x80) return value;
    }
    refuse("E_SPM_WIRE", file_, "not a SentencePiece model: a number has no end");
  }

  std::string_view rest_;
  const std::string& file_;
};

void put_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7U) out += static_cast<char>(value | 0x80U);
  out += static_cast<char>(value);
}

void put_number(std::string& out, std::uint64_t number, std::uint64_t value) {
  put_varint(out, number << 3U | kVarint);
  put_varint(out, value);
}

void put_bytes(std::string& out, std::uint64_t number, std::string_view bytes) {
  put_varint(out, number << 3U | kBytes);
  put_varint(out, bytes.size());
  out += bytes;
}

void put_float(std::string& out, std::uint64_t number, float value) {
  put_varint(out, number << 3U | kFixed32);
  const auto bits = std::bit_cast<std::uint32_t>(value);
  for (unsigned shift = 0; shift < 32; shift += 8) out += static_cast<char>(bits >> shift & 0xFFU);
}

std::uint32_t word_at(std::string_view bytes, std::size_t index) {
  std::uint32_t value = 0;
  for (std::size_t i = 4; i > 0; --i) {
    value = value << 8U | static_cast<unsigned char>(bytes[4 * index + i - 1]);
  }
  return value;
}

SentencePieceProto::Piece parse_piece(std::string_view message, const std::string& file) {
  SentencePieceProto::Piece piece;
  for (WireReader reader(message, file); !reader.done();) {
    const Field field = reader.next();
    if (field.number == kPieceText && field.wire == kBytes) {
      piece.text = field.bytes;
    } else if (field.number == kPieceScore && field.wire == kFixed32) {
      piece.score = std::bit_cast<float>(static_cast<std::uint32_t>(field.value));
    } else if (field.number == kPieceType && field.wire == kVarint) {
      if (field.value < 1 || field.value > 6) refuse("E_SPM_PIECE", file, "unknown type of piece");
      piece.type = static_cast<SentencePieceProto::Type>(field.value);
    }
  }
  return piece;
}

// ---- checks ----

void check_pieces(const SentencePieceProto& proto, const std::string& file) {
  std::unordered_set<std::string_view> seen;
  std::size_t unknown = 0;
  for (std::size_t id = 0; id < proto.pieces.size(); ++id) {
    const SentencePieceProto::Piece& piece = proto.pieces[id];
    const auto refuse_piece = [&](const char* what) {
      refuse("E_SPM_PIECE", file, cat("piece ", id, " ", what));
    };
    if (piece.text.empty()) refuse_piece("is empty");
    if (piece.text.size() > kMostPieceBytes) refuse_piece("is longer than 4096 bytes");
    if (piece.text.find('\0') != std::string::npos) refuse_piece("has a NUL");
    if (find_invalid_utf8(piece.text) != std::string::npos) refuse_piece("is not valid UTF-8");
    if (!std::isfinite(piece.score)) refuse_piece("has a score that is not finite");
    if (!seen.insert(piece.text).second) refuse_piece("is there twice");
    unknown += piece.type == SentencePieceProto::Type::kUnknown ? 1U : 0U;
  }
  if (unknown != 1) refuse("E_SPM_PIECE", file, cat(unknown, " unknown pieces, expected one"));
}

// The double-array trie of a character map (Yata et al. 2007; the layout of the public
// darts-clone): every node that a text can reach, and every replacement that it can name, must lie
// inside.
class CharsmapCheck {
 public:
  CharsmapCheck(std::string_view charsmap, const std::string& file) : file_(file) {
    if (charsmap.size() <= 4) fail("is cut off");
    const std::size_t trie_bytes = word_at(charsmap, 0);
    charsmap.remove_prefix(4);
    if (trie_bytes % 4 != 0 || trie_bytes >= charsmap.size()) fail("is cut off");
    for (std::size_t i = 0; i < trie_bytes / 4; ++i) units_.push_back(word_at(charsmap, i));
    replacements_ = charsmap.substr(trie_bytes);
    if (trie_bytes == 0 || replacements_.back() != '\0') fail("is cut off");
  }

  void run() {
    group_children();
    std::vector<bool> seen(units_.size());
    std::vector<std::size_t> open = {0};
    seen[0] = true;
    while (!open.empty()) {
      const std::size_t node = open.back();
      open.pop_back();
      const std::size_t base = node ^ offset(units_[node]);
      if ((base | 0xFFU) >= units_.size()) fail("points outside its trie");
      if ((units_[node] >> 8U & 1U) != 0) check_replacement(units_[base]);
      for (std::size_t child = first_[base]; child != kNone; child = next_[child]) {
        if (seen[child]) continue;
        seen[child] = true;
        open.push_back(child);
      }
    }
  }

 private:
  static constexpr auto kNone = static_cast<std::size_t>(-1);

  // A node's child for the byte `label` lies at its base ^ label and carries the label.
  void group_children() {
    first_.assign(units_.size(), kNone);
    next_.assign(units_.size(), kNone);
    for (std::size_t child = 0; child < units_.size(); ++child) {
      const std::size_t label = units_[child] & 0x800000FFU;
      if (label == 0 || label > 0xFF || (child ^ label) >= units_.size()) continue;
      next_[child] = std::exchange(first_[child ^ label], child);
    }
  }

  static std::size_t offset(std::uint32_t unit) { return unit >> 10U << ((unit & 0x200U) >> 6U); }

  void check_replacement(std::uint32_t unit) const {
    if ((unit & 0x7FFFFFFFU) >= replacements_.size()) fail("points outside its replacements");
  }

  [[noreturn]] void fail(const char* what) const {
    refuse("E_SPM_CHARSMAP", file_, cat("the normaliser's character map ", what));
  }

  std::vector<std::uint32_t> units_;
  std::vector<std::size_t> first_;  // by base: its first child
  std::vector<std::size_t> next_;   // by child: the next of the same base
  std::string_view replacements_;
  const std::string& file_;
};

}  // namespace

SentencePieceProto parse_sentencepiece(std::string_view bytes, const std::string& file) {
  if (bytes.starts_with("version https://git-lfs")) {
    throw Error::model_rule("E_SPM_WIRE", cat(file, ": a git-lfs pointer, not the model"),
                            "run `git lfs pull` in that folder");
  }
  SentencePieceProto proto;
  for (WireReader reader(bytes, file); !reader.done();) {
    const Field field = reader.next();
    if (field.wire != kBytes) continue;
    if (field.number == kPieces) {
      if (proto.pieces.size() == kMostPieces) {
        refuse("E_SPM_PIECE", file, cat("more than ", kMostPieces, " pieces"));
      }
      proto.pieces.push_back(parse_piece(field.bytes, file));
    } else if (field.number == kTrainerSpec) {
      proto.trainer_spec += field.bytes;
    } else if (field.number == kNormalizerSpec) {
      proto.normalizer_spec += field.bytes;
    }
  }
  if (proto.trainer_spec.empty() || proto.normalizer_spec.empty()) {
    refuse("E_SPM_WIRE", file, "not a SentencePiece model, or cut off behind its pieces");
  }
  check_sentencepiece(proto, file);
  return proto;
}

void check_sentencepiece(const SentencePieceProto& proto, const std::string& file) {
  if (proto.pieces.empty()) refuse("E_SPM_WIRE", file, "not a SentencePiece model: no pieces");
  check_pieces(proto, file);
  std::uint64_t model_type = kUnigram;
  for (WireReader reader(proto.trainer_spec, file); !reader.done();) {
    const Field field = reader.next();
    if (field.number == kModelType && field.wire == kVarint) model_type = field.value;
  }
  if (model_type < kUnigram || model_type > kMostModelType) {
    refuse("E_SPM_TYPE", file, cat("unknown model type ", model_type));
  }
  for (WireReader reader(proto.normalizer_spec, file); !reader.done();) {
    const Field field = reader.next();
    if (field.number != kCharsmap || field.wire != kBytes || field.bytes.empty()) continue;
    CharsmapCheck(field.bytes, file).run();
  }
}

SentencePieceProto make_unigram_proto(std::string_view charsmap) {
  SentencePieceProto proto;
  put_number(proto.trainer_spec, kModelType, kUnigram);
  if (!charsmap.empty()) put_bytes(proto.normalizer_spec, kCharsmap, charsmap);
  put_number(proto.normalizer_spec, kAddDummyPrefix, 1);
  put_number(proto.normalizer_spec, kRemoveExtraWhitespaces, 1);
  put_number(proto.normalizer_spec, kEscapeWhitespaces, 1);
  return proto;
}

std::string serialize_sentencepiece(const SentencePieceProto& proto) {
  std::string out;
  std::string piece;
  for (const SentencePieceProto::Piece& one : proto.pieces) {
    piece.clear();
    put_bytes(piece, kPieceText, one.text);
    put_float(piece, kPieceScore, one.score);
    put_number(piece, kPieceType, static_cast<std::uint64_t>(one.type));
    put_bytes(out, kPieces, piece);
  }
  put_bytes(out, kTrainerSpec, proto.trainer_spec);
  put_bytes(out, kNormalizerSpec, proto.normalizer_spec);
  return out;
}

}  // namespace ldm
