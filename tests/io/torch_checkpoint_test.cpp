#include "ldm/io/torch_checkpoint.h"

#include <atomic>
#include <cstring>
#include <random>
#include <thread>

#include "tests/io/errors.h"
#include "tests/io/pickle_bytes.h"
#include "tests/io/zip_bytes.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace ldm {
namespace {

using test::checkpoint_bytes;
using test::Contains;
using test::error_of;
using test::py_dict;
using test::py_file;
using test::py_floats;
using test::py_storage;
using test::py_tensor;
using test::rule_of;
using test::slurp;
using test::test_file;
using test::ZipBytes;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

template <typename T>
std::vector<T> read_as(const TensorSource& source, std::string_view name) {
  const TensorInfo* info = source.find(name);
  REQUIRE(info != nullptr);
  std::vector<T> values(static_cast<std::size_t>(info->byte_size()) / sizeof(T));
  REQUIRE(values.size() * sizeof(T) == info->byte_size());
  source.read(name, std::as_writable_bytes(std::span(values)));
  return values;
}

// As scripts/make_checkpoint_fixtures.py fills its tensors: element i is i / 2 - 3.
std::vector<float> ramp(const std::vector<int>& elements) {
  std::vector<float> values;
  for (const int i : elements) values.push_back(static_cast<float>(i) / 2 - 3);
  return values;
}
std::vector<float> ramp(int count) {
  std::vector<int> elements(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) elements[static_cast<std::size_t>(i)] = i;
  return ramp(elements);
}

TorchCheckpoint open_fixture(const std::string& name) {
  return TorchCheckpoint(test_file("io/data/" + name + ".ckpt"));
}

// A storage of that many floats 0, 1, 2, …
std::string floats(int count) {
  std::string bytes;
  for (int i = 0; i < count; ++i) {
    const auto value = static_cast<float>(i);
    bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  return bytes;
}

TEST_CASE("checkpoint: a plain dict of torch.save, nested and with scalars") {
  const TorchCheckpoint file = open_fixture("plain");
  CHECK(file.names() == std::vector<std::string>{"a", "b.7", "b.c", "empty", "scalar"});
  CHECK(read_as<float>(file, "a") == ramp(6));
  CHECK(read_as<float>(file, "b.c") == ramp(4));
  CHECK(read_as<float>(file, "b.7") == ramp(1));
  CHECK(read_as<float>(file, "scalar") == ramp(1));
  CHECK(read_as<float>(file, "empty").empty());
  CHECK(file.find("a")->shape == std::vector<std::int64_t>{2, 3});
  CHECK(file.find("scalar")->shape.empty());
  CHECK(describe(*file.find("empty")) == "F32 [0, 3]");
  CHECK(file.find("none") == nullptr);
  CHECK(file.integer("global_step") == 5);
  CHECK(file.integer("big") == std::int64_t{1} << 40U);
  CHECK(file.integer("minus") == -2);
  CHECK_FALSE(file.integer("a"));
  CHECK(file.file_of("a").filename() == "plain.ckpt");
  CHECK(file.file_of("x").empty());
  REQUIRE(file.files().size() == 1);
  CHECK(file.files()[0].size == std::filesystem::file_size(file.files()[0].path));
  CHECK(file.metadata().empty());
  CHECK(file.total_bytes() == 4 * 12);
  file.check_unchanged();
  file.check_all();
}

TEST_CASE("checkpoint: an OrderedDict with _metadata, as model.state_dict() is") {
  const TorchCheckpoint file = open_fixture("ordered");
  CHECK(file.names() == std::vector<std::string>{"bias", "weight"});
  CHECK(read_as<float>(file, "weight") == ramp(6));
  CHECK(read_as<float>(file, "bias") == ramp(2));
}

TEST_CASE("checkpoint: a Lightning file gives its state dict and steps, nothing else") {
  const TorchCheckpoint file = open_fixture("lightning");
  CHECK(file.names() == std::vector<std::string>{"model.bias", "model.weight"});
  CHECK(read_as<float>(file, "model.weight") == ramp(6));
  CHECK(file.integer("global_step") == 470000);
  CHECK(file.integer("epoch") == 12);
}

TEST_CASE("checkpoint: half, bfloat16 and every other type that is loaded") {
  const std::vector<std::uint16_t> half = read_as<std::uint16_t>(open_fixture("half"), "w");
  REQUIRE(half.size() == 15);
  CHECK(half[0] == 0xC200);   // -3
  CHECK(half[14] == 0x4400);  // 4
  const auto bfloat16 = read_as<std::uint16_t>(open_fixture("bfloat16"), "w");
  REQUIRE(bfloat16.size() == 15);
  CHECK(bfloat16[0] == 0xC040);
  CHECK(bfloat16[14] == 0x4080);

  const TorchCheckpoint all = open_fixture("dtypes");
  CHECK(all.size() == 10);
  const std::vector<std::pair<std::string, DType>> types = {
      {"f64", DType::F64}, {"f32", DType::F32},  {"f16", DType::F16}, {"bf16", DType::BF16},
      {"i64", DType::I64}, {"i32", DType::I32},  {"i16", DType::I16}, {"i8", DType::I8},
      {"u8", DType::U8},   {"bool", DType::BOOL}};
  for (const auto& [name, dtype] : types) {
    REQUIRE(all.find(name) != nullptr);
    CHECK(all.find(name)->dtype == dtype);
    CHECK(all.find(name)->shape == std::vector<std::int64_t>{7});
  }
  CHECK(read_as<double>(all, "f64").at(1) == -2.5);
  CHECK(read_as<std::int64_t>(all, "i64").at(6) == 6);
  CHECK(read_as<std::int16_t>(all, "i16").at(5) == 5);
  CHECK(read_as<std::int8_t>(all, "i8").at(4) == 4);
  CHECK(read_as<std::uint8_t>(all, "bool") == std::vector<std::uint8_t>{0, 1, 0, 1, 0, 1, 0});
}

TEST_CASE("checkpoint: views of one storage, strided and expanded ones too") {
  const TorchCheckpoint file = open_fixture("shared");
  CHECK(read_as<float>(file, "whole") == ramp(20));
  CHECK(read_as<float>(file, "rows") == ramp({5, 6, 7, 8, 9, 10, 11, 12, 13, 14}));
  CHECK(read_as<float>(file, "columns") == ramp({1, 2, 6, 7, 11, 12, 16, 17}));
  CHECK(read_as<float>(file, "step") == ramp({0, 2, 4, 10, 12, 14}));
  CHECK(read_as<float>(file, "expanded") == std::vector<float>(12, -3.0F));
}

TEST_CASE("checkpoint: transposed tensors are read in their own order") {
  const TorchCheckpoint file = open_fixture("transposed");
  CHECK(file.find("t")->shape == std::vector<std::int64_t>{5, 4});
  std::vector<int> order;
  for (int row = 0; row < 5; ++row) {
    for (int column = 0; column < 4; ++column) order.push_back(column * 5 + row);
  }
  CHECK(read_as<float>(file, "t") == ramp(order));
  CHECK(file.find("p")->shape == std::vector<std::int64_t>{4, 2, 3});
  order.clear();
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < 6; ++j) order.push_back(j * 4 + i);
  }
  CHECK(read_as<float>(file, "p") == ramp(order));
}

TEST_CASE("checkpoint: EMA weights stand beside the others") {
  const TorchCheckpoint file = open_fixture("ema");
  CHECK(file.names() ==
        std::vector<std::string>{"model_ema.decay", "model_ema.num_updates", "model_ema.w", "w"});
  CHECK(read_as<std::int32_t>(file, "model_ema.num_updates").at(0) == 1234);
  CHECK(read_as<float>(file, "model_ema.decay").at(0) == 0.5F);
}

TEST_CASE("checkpoint: any part of any view equals the same part of the whole") {
  std::mt19937 random(7);
  const auto up_to = [&random](std::uint64_t most) {
    return std::uniform_int_distribution<std::uint64_t>(0, most)(random);
  };
  const std::string storage = floats(600);
  const std::string pickle =
      py_file(py_dict({"contiguous", py_tensor(py_storage("0", 600), 7, {3, 5}, {5, 1}),
                       "transposed", py_tensor(py_storage("0", 600), 0, {6, 5, 4}, {1, 24, 6}),
                       "rows", py_tensor(py_storage("0", 600), 3, {10, 3, 2}, {40, 6, 1}), "column",
                       py_tensor(py_storage("0", 600), 11, {20}, {29}), "expanded",
                       py_tensor(py_storage("0", 600), 5, {4, 3, 2}, {0, 7, 0}), "one",
                       py_tensor(py_storage("0", 600), 599, {1, 1}, {9, 9})}));
  const std::string bytes = checkpoint_bytes(pickle, {storage});
  const TorchCheckpoint file(bytes_of(bytes), "f.ckpt");
  CHECK(file.size() == 6);
  for (const std::string& name : file.names()) {
    const std::vector<std::byte> whole = read_as<std::byte>(file, name);
    for (int i = 0; i < 200; ++i) {
      const std::uint64_t offset = up_to(whole.size());
      std::vector<std::byte> part(static_cast<std::size_t>(up_to(whole.size() - offset)));
      file.read_part(name, offset, part);
      CHECK(std::equal(part.begin(), part.end(),
                       whole.begin() + static_cast<std::ptrdiff_t>(offset)));
    }
  }
  const std::vector<float> rows = read_as<float>(file, "rows");
  CHECK(rows[6 * 2 + 2 * 1 + 1] == 3.0F + 2 * 40 + 6 + 1);
  CHECK(read_as<float>(file, "expanded").at(23) == 19.0F);
  std::array<std::byte, 8> beyond{};
  CHECK(error_of([&] { file.read_part("one", 0, beyond); })->code() == ErrorCode::kInternal);
  CHECK(error_of([&] { file.read_part("absent", 0, beyond); })->code() == ErrorCode::kModel);
}

TEST_CASE("checkpoint: an expanded tensor of a terabyte is listed and read only where asked") {
  const std::string pickle =
      py_file(py_dict({"bomb", py_tensor(py_storage("0", 4), 1, {1LL << 19, 1LL << 19}, {0, 0}),
                       "w", py_floats("0", 4)}));
  const std::string bytes = checkpoint_bytes(pickle, {floats(4)});
  const TorchCheckpoint file(bytes_of(bytes), "f.ckpt");
  CHECK(file.find("bomb")->byte_size() == std::uint64_t{1} << 40U);
  std::array<float, 3> values{};
  file.read_part("bomb", (std::uint64_t{1} << 40U) - 12, std::as_writable_bytes(std::span(values)));
  CHECK(values[0] == 1.0F);
  CHECK(values[2] == 1.0F);
}

TEST_CASE("checkpoint: records must be there and have their storage's bytes, both ways") {
  const auto open = [](const std::string& pickle, const std::vector<std::string>& storages) {
    const std::string bytes = checkpoint_bytes(pickle, storages);
    return error_of([&] { TorchCheckpoint(bytes_of(bytes), "f.ckpt"); });
  };
  const std::string pickle = py_file(py_dict({"w", py_floats("0", 4)}));
  CHECK_FALSE(open(pickle, {floats(4)}));
  for (const std::string& storage :
       {floats(3), floats(5), floats(4) + "x", std::string("abc"), std::string()}) {
    const auto error = open(pickle, {storage});
    REQUIRE(error);
    CHECK(error->rule() == "E_CKPT_RECORD");
    CHECK_THAT(error->message(), Contains("\"w\"") && Contains("f.ckpt"));
  }
  CHECK(open(pickle, {})->rule() == "E_CKPT_RECORD");
  // A kilobyte that claims 2^28 and 2^60 floats.
  CHECK(open(py_file(py_dict({"w", py_floats("0", 1 << 28)})), {floats(4)})->rule() ==
        "E_CKPT_RECORD");
  CHECK(
      open(py_file(py_dict({"w", py_tensor(py_storage("0", 1LL << 62), 0, {1}, {1})})), {floats(4)})
          ->rule() == "E_CKPT_RECORD");
  CHECK(open(py_file(py_dict({"w", py_floats("00", 4)})), {floats(4)})->rule() == "E_CKPT_RECORD");
}

TEST_CASE("checkpoint: what is no checkpoint of weights is refused by name") {
  const std::string pickle = py_file(py_dict({"w", py_floats("0", 4)}));
  const auto rule = [](const std::string& bytes) {
    const auto error = error_of([&] { TorchCheckpoint(bytes_of(bytes), "f.ckpt"); });
    REQUIRE(error);
    CHECK(error->exit_code() == 4);
    CHECK_THAT(error->message(), Contains("f.ckpt: E_"));
    return error->rule();
  };
  const auto with = [&](const std::vector<std::pair<std::string, std::string>>& records) {
    ZipBytes zip;
    for (const auto& [name, data] : records) zip.add(name, data);
    zip.add("version", "3\n");
    return rule(zip.finish());
  };
  CHECK(with({{"data.pkl", pickle}, {"data/0", floats(4)}, {"constants.pkl", "x"}}) ==
        "E_CKPT_SCRIPT");
  CHECK(with({{"data.pkl", pickle}, {"data/0", floats(4)}, {"code/m.py", "x"}}) == "E_CKPT_SCRIPT");
  CHECK(with({{"data.pkl", pickle}, {"data/0", floats(4)}, {"byteorder", "big"}}) ==
        "E_CKPT_ENDIAN");
  CHECK(with({{"data.pkl", pickle}, {"data/0", floats(4)}, {"byteorder", "Little"}}) ==
        "E_CKPT_ENDIAN");
  CHECK(with({}) == "E_CKPT_RECORD");
  for (const std::string version : {"", "0", "11", "3\n\n", "x", "-1"}) {
    ZipBytes zip;
    zip.add("data.pkl", pickle);
    zip.add("version", version);
    CHECK(rule(zip.finish()) == "E_CKPT_VERSION");
  }
  CHECK(rule(ZipBytes().finish()) == "E_CKPT_VERSION");
  CHECK(with({{"data.pkl", pickle}, {"data.pkl", pickle}}) == "E_ZIP_DUP");
  CHECK(with({{"data.pkl", py_file(py_dict({"x", "cos\nsystem\n"}))}}) == "E_PKL_GLOBAL");
  CHECK(rule("") == "E_ZIP_SHORT");
  CHECK(rule(std::string("\x80\x02\x8a\nl\xfc\x9c", 7) + std::string(600, 'x')) == "E_CKPT_LEGACY");
  CHECK(rule(std::string(257, '\0') + "ustar" + std::string(300, '\0')) == "E_CKPT_TAR");
  CHECK(rule("<html>" + std::string(600, ' ')) == "E_ST_HTML");
  CHECK(rule("version https://git-lfs.github.com/spec/v1\n") == "E_ST_LFS");
  CHECK(rule(std::string("\x02\0\0\0\0\0\0\0{}", 10)) == "E_CKPT_SAFETENSORS");

  TorchCheckpointLimits limits;
  limits.max_pickle_bytes = 10;
  const std::string bytes = checkpoint_bytes(pickle, {floats(4)});
  CHECK(rule_of([&] { TorchCheckpoint(bytes_of(bytes), "f", limits); }) == "E_ZIP_LIMIT");
  // Old files: no byteorder record.
  ZipBytes old;
  old.add("data.pkl", pickle);
  old.add("data/0", floats(4));
  old.add("version", "3");
  const std::string old_bytes = old.finish();
  CHECK(read_as<float>(TorchCheckpoint(bytes_of(old_bytes), "f"), "w").at(3) == 3.0F);
}

TEST_CASE("checkpoint: damaged weights are told with tensor and record, good ones still read") {
  std::string bytes =
      checkpoint_bytes(py_file(py_dict({"good", py_floats("0", 4), "bad", py_floats("1", 5)})),
                       {floats(4), floats(5)});
  const std::size_t at = bytes.find(floats(5));
  bytes[at + 9] = static_cast<char>(bytes[at + 9] ^ 4);
  const TorchCheckpoint file(bytes_of(bytes), "f.ckpt");
  CHECK(read_as<float>(file, "good").at(3) == 3.0F);
  const auto error = error_of([&] { read_as<float>(file, "bad"); });
  REQUIRE(error);
  CHECK(error->rule() == "E_ZIP_CRC");
  CHECK_THAT(error->message(), Contains("f.ckpt: tensor \"bad\": ") && Contains("\"data/1\""));
  CHECK(rule_of([&] { file.check_all(); }) == "E_ZIP_CRC");
}

TEST_CASE(
    "checkpoint: a span is kept while a tensor is read in pieces, and dropped when there is no "
    "room") {
  const std::string file = floats(100);
  const ByteSource source(bytes_of(file));
  SpanCache cache(100);
  const SpanCache::Bytes first = cache.get(source, 0, 60);
  CHECK(cache.get(source, 0, 60) == first);
  CHECK(cache.get(source, 0, 50) != first);  // 110 bytes are too many
  CHECK(cache.get(source, 0, 60) != first);
  const SpanCache::Bytes again = cache.get(source, 0, 60);
  CHECK(*again == *first);
  cache.forget(0, 60);
  CHECK(cache.get(source, 0, 60) != again);
  const SpanCache::Bytes large = cache.get(source, 0, 101);
  CHECK(cache.get(source, 0, 101) != large);
  CHECK(error_of([&] { cache.get(source, 399, 2); }));
}

TEST_CASE("checkpoint: several threads read one file") {
  std::string big = floats(300'000);
  const std::string pickle = py_file(py_dict(
      {"all", py_floats("0", 300'000), "turned",
       py_tensor(py_storage("0", 300'000), 0, {100, 3000}, {1, 100}), "other", py_floats("1", 7)}));
  const test::TempDir folder;
  const TorchCheckpoint file(folder.write("f.ckpt", checkpoint_bytes(pickle, {big, floats(7)})));
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&file, &wrong] {
      std::array<float, 10> part{};
      std::array<float, 2> turned{};
      for (const std::uint64_t at : {0U, 5000U, 299'998U}) {
        file.read_part("turned", at * 4, std::as_writable_bytes(std::span(turned)));
        // Row at / 3000, column at % 3000 of the transposed 3000 x 100.
        if (turned[1] != static_cast<float>((at + 1) / 3000 + (at + 1) % 3000 * 100)) ++wrong;
      }
      for (const std::uint64_t at : {0U, 1000U, 299'990U}) {
        file.read_part("all", at * 4, std::as_writable_bytes(std::span(part)));
        if (part[9] != static_cast<float>(at + 9)) ++wrong;
      }
      std::array<float, 7> other{};
      file.read("other", std::as_writable_bytes(std::span(other)));
      if (other[6] != 6.0F) ++wrong;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
}

TEST_CASE("checkpoint: every truncation of a file is refused") {
  const std::string file = slurp(test_file("io/data/half.ckpt"));
  for (std::size_t size = 0; size < file.size(); ++size) {
    const std::string part = file.substr(0, size);
    const auto error = error_of([&] { TorchCheckpoint(bytes_of(part), "f.ckpt"); });
    REQUIRE(error);
    CHECK(error->exit_code() == 4);
    CHECK_FALSE(error->rule().empty());
  }
}

// Opens and reads all tensors and records of `file` with one bit turned; whether that was noticed.
bool is_noticed(std::string& file, std::size_t bit) {
  file[bit / 8] = static_cast<char>(file[bit / 8] ^ (1 << (bit % 8)));
  bool noticed = false;
  try {
    const TorchCheckpoint checkpoint(bytes_of(file), "f.ckpt");
    for (const std::string& name : checkpoint.names()) read_as<std::byte>(checkpoint, name);
    checkpoint.check_all();
  } catch (const Error& error) {
    noticed = error.exit_code() == 4 && !error.rule().empty();
  }
  file[bit / 8] = static_cast<char>(file[bit / 8] ^ (1 << (bit % 8)));
  return noticed;
}

void flip_every_bit(const std::string& name) {
  std::string file = slurp(test_file("io/data/" + name + ".ckpt"));
  for (std::size_t bit = 0; bit < file.size() * 8; ++bit) {
    if (!is_noticed(file, bit)) FAIL(name << ": bit " << bit % 8 << " of byte " << bit / 8);
  }
}

TEST_CASE("checkpoint: every single bit of a file of torch.save matters and is checked") {
  flip_every_bit("half");
}

TEST_CASE("checkpoint: every single bit of eight more files", "[slow]") {
  for (const std::string name :
       {"plain", "ordered", "lightning", "bfloat16", "dtypes", "shared", "transposed", "ema"}) {
    flip_every_bit(name);
  }
}

}  // namespace
}  // namespace ldm
