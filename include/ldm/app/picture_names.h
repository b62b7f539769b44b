#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ldm::app {

/// What a picture's name may be made from.
struct NameFields {
  std::int64_t index = 0;  ///< number in the batch
  std::uint64_t seed = 0;
  std::string id;  ///< the job's own name; may be empty
  std::string sampler;
  std::int64_t steps = 0;
};

/// A --name-template: text with the fields {index} {seed} {id} {sampler} {steps}; {index:06} is
/// padded with zeros to six digits.
class NameTemplate {
 public:
  /// Throws Error::usage for an unknown field, an odd brace, or characters that names may not have.
  explicit NameTemplate(const std::string& text);

  /// The file's name, with ".png" where the template does not end in it. Throws Error::input when
  /// `check_name` refuses it.
  std::string name(const NameFields& fields) const;

 private:
  struct Piece {
    std::string text;   ///< as it is, where `field` is empty
    std::string field;  ///< name of a field
    int width = 0;      ///< least digits
  };
  std::vector<Piece> pieces_;
};

/// The name of a job's `output` for its image `k` of `images`: with ".png", and "-0001"… before it
/// when there are several. Throws Error::input when `check_name` refuses it.
std::string named_output(const std::string& output, std::int64_t k, std::int64_t images);

/// Throws Error::input unless a name is of letters, digits, '.', '_' and '-', does not begin with
/// '.' or '-', and has at most 120 bytes: nothing that a job says leads out of the folder.
void check_name(const std::string& name);

}  // namespace ldm::app
