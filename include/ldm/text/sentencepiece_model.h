#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ldm/text/sentencepiece_proto.h"

namespace ldm {

/// The public SentencePiece library (Kudo & Richardson 2018) on a checked model. Safe to share
/// between threads.
class SentencePieceModel {
 public:
  /// A piece's id and the byte of the text that it begins at.
  struct Token {
    std::int64_t id = 0;
    std::size_t begin = 0;
  };

  /// `proto` has passed `check_sentencepiece`; `file` names it in messages. Error::model where the
  /// library refuses it all the same.
  SentencePieceModel(const SentencePieceProto& proto, const std::string& file);
  ~SentencePieceModel();
  SentencePieceModel(SentencePieceModel&&) noexcept;
  SentencePieceModel& operator=(SentencePieceModel&&) noexcept;

  /// The best segmentation of well-formed UTF-8. Neighbouring unknown characters are one token.
  std::vector<Token> encode(std::string_view text) const;

  /// The id of a piece, or nothing.
  std::optional<std::int64_t> find(const std::string& piece) const;
  /// The piece of an id, empty for one that is out of range.
  std::string_view piece(std::int64_t id) const;
  /// Number of pieces.
  std::int64_t size() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ldm
