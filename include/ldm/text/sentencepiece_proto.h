#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ldm {

/// What a SentencePiece model file holds, as far as encoding needs it (sentencepiece_model.proto,
/// ModelProto).
struct SentencePieceProto {
  /// ModelProto.SentencePiece.Type
  enum class Type : std::uint8_t {
    kNormal = 1,
    kUnknown = 2,
    kControl = 3,
    kUserDefined = 4,
    kUnused = 5,
    kByte = 6,
  };
  struct Piece {
    std::string text;
    float score = 0.0F;
    Type type = Type::kNormal;
  };

  std::vector<Piece> pieces;    ///< by id
  std::string trainer_spec;     ///< serialised TrainerSpec
  std::string normalizer_spec;  ///< serialised NormalizerSpec
};

/// Parses a .model file's bytes; `file` names it in messages.
///
/// The public library trusts its files: a character map with wild offsets makes it read beyond its
/// memory. So everything that it would follow blindly is checked here. Error::model with rule
/// E_SPM_WIRE (not this format, cut off), E_SPM_PIECE (empty, repeated, not UTF-8 or badly typed
/// piece, no or several unknown pieces, a score that is no number), E_SPM_TYPE (model type) or
/// E_SPM_CHARSMAP (the normaliser's character map).
SentencePieceProto parse_sentencepiece(std::string_view bytes, const std::string& file);

/// The checks of `parse_sentencepiece` on a model that was put together otherwise.
void check_sentencepiece(const SentencePieceProto& proto, const std::string& file);

/// A unigram model's specs: NMT's white-space rules, and `charsmap` (empty for none).
SentencePieceProto make_unigram_proto(std::string_view charsmap);

/// The model as the public library reads it; self tests and the denormaliser are left out.
std::string serialize_sentencepiece(const SentencePieceProto& proto);

}  // namespace ldm
