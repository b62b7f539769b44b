#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "ldm/text/sentencepiece_proto.h"

namespace ldm {

/// The SentencePiece model of a tokenizer folder.
struct SentencePieceFiles {
  SentencePieceProto proto;
  std::string source;        ///< file of the model, for messages
  nlohmann::json tokenizer;  ///< the parsed tokenizer.json that the model is from; else null
};

/// Whether a folder has a SentencePiece model file.
bool has_sentencepiece_model(const std::filesystem::path& folder);

/// Reads `sentencepiece.bpe.model`, `spiece.model` or `tokenizer.model` (at most 64 MiB); where
/// none is there, the unigram model in `tokenizer.json`, which transformers 5 writes in its place.
/// Error::model.
SentencePieceFiles read_sentencepiece_files(const std::filesystem::path& folder);

}  // namespace ldm
