#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "ldm/io/tensor_source.h"

namespace ldm {

/// Whether a file holds what somebody vouches for.
enum class IntegrityState { kVerified, kUnverified, kMismatch };

struct Integrity {
  IntegrityState state = IntegrityState::kUnverified;
  std::string source;    ///< who vouches: "x.sha256 beside it", "the Hugging Face cache's blob
                         ///< name", "the table of published files", "its own metadata"
  std::string tensor;    ///< the first tensor that differs, where that is known
  std::string expected;  ///< hex digests, of the file or of that tensor
  std::string found;
};

/// Compares a file of weights with the first of these that exists: `FILE.sha256` beside it, the
/// blob name that a Hugging Face cache's link points to, the digests of published files (by name
/// and digest), and the per-tensor digests of files that this program wrote (`kTensorHashPrefix`).
/// Reads the file once. `sha256` is the whole file's digest where it is known already, else empty.
/// Errors of reading.
Integrity check_integrity(const std::filesystem::path& file, const std::string& sha256 = {});

/// The first three of these, which vouch for whole files.
Integrity check_whole_file(const std::filesystem::path& file, const std::string& sha256 = {});

/// The per-tensor digests in a source's metadata: kUnverified where there are none, kMismatch where
/// one is wrong or some are missing.
Integrity check_tensor_hashes(const TensorSource& tensors);

/// The same for a .safetensors file, and its header's digest.
Integrity check_own_hashes(const std::filesystem::path& file);

/// Error::model E_SUM_MISMATCH, naming the tensor where known; nothing for the other states.
void throw_on_mismatch(const Integrity& integrity, const std::filesystem::path& file);

/// "verified by …", "unverified: nothing vouches for it", "does not match …".
std::string describe(const Integrity& integrity);

}  // namespace ldm
