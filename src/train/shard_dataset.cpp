#include <charconv>
#include <set>
#include <utility>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/file.h"
#include "ldm/io/tar.h"
#include "ldm/train/dataset_kinds.h"

namespace ldm::train {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxTextBytes = std::uint64_t{1} << 20U;

/// Bytes of a shard; none where size is 0.
struct Part {
  std::uint64_t begin = 0;
  std::uint64_t size = 0;
};

struct Shard {
  fs::path path;
  std::uint64_t bytes = 0;
};

struct Sample {
  std::size_t shard = 0;
  std::string key;             // the name before its first dot, folders included
  std::string picture_suffix;  // ".png"; empty: no picture
  Part picture;
  Part text;
  Part json;
  Part label;
};

class ShardDataset final : public Dataset {
 public:
  ShardDataset(std::vector<Shard> shards, std::vector<Sample> samples)
      : shards_(std::move(shards)), samples_(std::move(samples)) {}

  std::int64_t size() const override { return static_cast<std::int64_t>(samples_.size()); }

  std::string name(std::int64_t index) const override {
    const Sample& sample = sample_at(index);
    return cat(shards_[sample.shard].path.string(), "/", sample.key, sample.picture_suffix);
  }

  Example describe(std::int64_t index) const override {
    const Sample& sample = sample_at(index);
    return describe(sample, open(sample), name(index));
  }

  Example read(std::int64_t index) const override {
    const Sample& sample = sample_at(index);
    const InputFile file = open(sample);
    Example example = describe(sample, file, name(index));
    const std::string bytes = read_part(file, sample.picture, kMaxImageBytes, example.name);
    example.picture =
        decode_image(std::as_bytes(std::span(bytes.data(), bytes.size())), example.name);
    return example;
  }

 private:
  const Sample& sample_at(std::int64_t index) const {
    return samples_.at(static_cast<std::size_t>(index));
  }

  // Opened for every sample: there may be more shards than a process may have files.
  InputFile open(const Sample& sample) const {
    const Shard& shard = shards_[sample.shard];
    try {
      InputFile file(shard.path);
      if (file.size() != shard.bytes) {
        throw Error::input(shard.path.string() + ": the shard has changed since it was opened",
                           "start again when it is complete");
      }
      return file;
    } catch (Error& error) {
      error.with_code(ErrorCode::kInput);
      throw;
    }
  }

  static std::string read_part(const InputFile& file, const Part& part, std::uint64_t most,
                               const std::string& name) {
    if (part.size > most) {
      throw Error::input(cat(name, ": ", human_bytes(static_cast<double>(part.size)), ", at most ",
                             human_bytes(static_cast<double>(most)), " are read"));
    }
    std::string bytes(static_cast<std::size_t>(part.size), '\0');
    try {
      file.read_at(part.begin, std::as_writable_bytes(std::span(bytes.data(), bytes.size())));
    } catch (Error& error) {
      error.with_code(ErrorCode::kInput);
      throw;
    }
    return bytes;
  }

  static Example describe(const Sample& sample, const InputFile& file, const std::string& name) {
    Example example;
    example.name = name;
    example.attributes = nlohmann::json::object();
    if (sample.json.size > 0) {
      take_metadata(read_part(file, sample.json, kMaxTextBytes, name), name, example);
    }
    if (sample.text.size > 0) {
      example.caption = clean_caption(read_part(file, sample.text, kMaxTextBytes, name), name);
    }
    if (sample.label.size > 0) {
      const std::string text =
          clean_caption(read_part(file, sample.label, kMaxTextBytes, name), name);
      std::int64_t label = 0;
      const char* end = text.data() + text.size();
      const auto [stop, error] = std::from_chars(text.data(), end, label);
      if (error != std::errc() || stop != end || label < 0) {
        throw Error::input(name + ": its .cls is no class number");
      }
      example.class_label = label;
    }
    return example;
  }

  std::vector<Shard> shards_;
  std::vector<Sample> samples_;
};

struct Name {
  std::string key;
  std::string suffix;  // with its dot
};

Name split_name(const std::string& path) {
  const std::size_t base = path.rfind('/') + 1;  // 0 without a slash
  const std::size_t dot = std::min(path.find('.', base), path.size());
  return {path.substr(0, dot), path.substr(dot)};
}

void put(Sample& sample, const std::string& suffix, const TarEntry& entry) {
  const Part part{entry.begin, entry.size};
  if (has_picture_suffix(suffix)) {
    if (!sample.picture_suffix.empty()) {
      throw Error::input(cat("\"", sample.key, "\" has two pictures"), "keep one for each key");
    }
    sample.picture = part;
    sample.picture_suffix = suffix;
  } else if (suffix == ".txt") {
    sample.text = part;
  } else if (suffix == ".json") {
    sample.json = part;
  } else if (suffix == ".cls") {
    sample.label = part;
  }
}

void check_complete(const Sample& sample, const DatasetOptions& options) {
  if (options.captions && sample.text.size == 0 && sample.json.size == 0) {
    throw Error::input(cat("\"", sample.key, sample.picture_suffix, "\" has no caption"),
                       "pack a .txt or a .json file of the same name beside it");
  }
  if (options.class_labels && sample.label.size == 0 && sample.json.size == 0) {
    throw Error::input(cat("\"", sample.key, sample.picture_suffix, "\" has no class label"),
                       "pack a .cls file of the same name beside it");
  }
}

/// Appends the examples of one shard; a key without a picture is none.
void add_samples(std::size_t shard, const std::vector<TarEntry>& entries,
                 const DatasetOptions& options, std::vector<Sample>& samples) {
  std::set<std::string> finished;
  Sample current;
  const auto finish = [&] {
    if (current.picture_suffix.empty()) return;
    check_complete(current, options);
    samples.push_back(current);
  };
  for (const TarEntry& entry : entries) {
    const Name name = split_name(entry.name);
    const std::string base = name.key.substr(name.key.rfind('/') + 1);
    if (base.empty() || base.starts_with("__")) continue;
    if (name.key != current.key) {
      finish();
      current = {};
      current.shard = shard;
      current.key = name.key;
      if (!finished.insert(name.key).second) {
        throw Error::input(cat("the files of \"", name.key, "\" do not lie together"),
                           "pack the archive with its files sorted: tar --sort=name");
      }
    }
    put(current, name.suffix, entry);
  }
  finish();
}

}  // namespace

std::unique_ptr<Dataset> open_shards(std::vector<fs::path> paths, const DatasetOptions& options) {
  std::vector<Shard> shards;
  std::vector<Sample> samples;
  for (fs::path& path : paths) {
    try {
      const InputFile file(path);
      add_samples(shards.size(), read_tar_entries(ByteSource(file)), options, samples);
      shards.push_back({path, file.size()});
    } catch (Error& error) {
      error.with_context(path.string());
      throw;
    }
  }
  return std::make_unique<ShardDataset>(std::move(shards), std::move(samples));
}

}  // namespace ldm::train
