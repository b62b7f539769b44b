#include "ldm/train/classifier.h"

#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include "ldm/core/error.h"
#include "ldm/train/classifier_trainer.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"
#include "tests/train/plain_pictures.h"

using ldm::Error;
using ldm::Image;
using ldm::test::plain_picture;
using ldm::test::TempDir;
using namespace ldm::train;

namespace {

/// Bars and blocks, once or twice, on red or blue: 8 kinds, in turn.
class Shapes final : public Dataset {
 public:
  std::int64_t size() const override { return 64; }
  std::string name(std::int64_t index) const override { return std::to_string(index); }
  Example describe(std::int64_t index) const override {
    Example example;
    example.name = name(index);
    example.attributes = {{"object", index % 2 == 0 ? "bar" : "block"},
                          {"background", index / 2 % 2 == 0 ? "blue" : "red"},
                          {"count", index / 4 % 2 + 1}};
    return example;
  }
  Example read(std::int64_t index) const override {
    Example example = describe(index);
    const bool blue = index / 2 % 2 == 0;
    example.picture = plain_picture(16, 16, blue ? 0 : 250, 0, blue ? 250 : 0);
    const int shift = static_cast<int>(index / 8 % 3);
    for (std::int64_t copy = 0; copy <= index / 4 % 2; ++copy) {
      const int left = 2 + shift + 6 * static_cast<int>(copy);
      paint(example.picture, left, index % 2 == 0 ? 1 : 4, 3 + shift);
    }
    return example;
  }

 private:
  static void paint(Image& picture, int left, int width, int top) {
    for (int y = top; y < top + 8; ++y) {
      for (int x = left; x < left + width; ++x) {
        for (int c = 0; c < 3; ++c) {
          picture.rgb[static_cast<std::size_t>(3 * (y * 16 + x) + c)] = 255;
        }
      }
    }
  }
};

ClassifierTraining tiny_training(std::int64_t steps) {
  ClassifierTraining training;
  training.steps = steps;
  training.batch_size = 16;
  training.optimizer.learning_rate = 4e-3;
  training.network.width = 8;
  training.network.blocks = 1;
  training.network.picture_size = 16;
  return training;
}

}  // namespace

TEST_CASE("a classifier learns what small pictures show, and survives its file") {
  const Shapes data;
  double first_loss = 0;
  double last_loss = 0;
  Classifier classifier = train_classifier(
      data, tiny_training(150),
      [&](std::int64_t step, double loss) { (step == 0 ? first_loss : last_loss) = loss; });
  CHECK(last_loss < 0.2 * first_loss);
  classifier.accuracy = measure_accuracy(classifier, data);
  CHECK(classifier.accuracy.pictures == 64);
  CHECK(classifier.accuracy.object > 0.95);
  CHECK(classifier.accuracy.background == 1.0);
  CHECK(classifier.accuracy.border == 1.0);
  CHECK(classifier.accuracy.count > 0.95);
  CHECK(measure_accuracy(classifier, data, 10).pictures == 10);
  CHECK(classifier.names.objects == std::vector<std::string>{"bar", "block"});
  CHECK(classifier.background_colors.at(1) == std::array<double, 3>{250, 0, 0});

  const TempDir dir;
  save_classifier(dir / "c.safetensors", classifier, ldm::IfExists::kRefuse);
  const Classifier again = load_classifier(dir / "c.safetensors");
  CHECK(again.names.objects == classifier.names.objects);
  CHECK(again.accuracy.object == classifier.accuracy.object);
  const std::vector<Image> pictures = {data.read(5).picture};
  const AttributeGuess guess = again.classify(pictures).at(0);
  CHECK(guess.attributes.object == "block");
  CHECK(guess.attributes.background == "blue");
  CHECK(guess.attributes.count == 2);
  CHECK(guess.object_probability ==
        Approx(classifier.classify(pictures).at(0).object_probability).epsilon(1e-6));
}

TEST_CASE("training a classifier twice gives the same weights") {
  const Shapes data;
  const Classifier once = train_classifier(data, tiny_training(5));
  const Classifier twice = train_classifier(data, tiny_training(5));
  for (const auto& item : once.network->named_parameters()) {
    CHECK(at::equal(item.value(), twice.network->named_parameters()[item.key()]));
  }
}

TEST_CASE("pictures are roughened by their position only") {
  const at::Tensor pictures = at::ones({4, 3, 8, 8});
  const at::Tensor all = roughened(pictures, 1, 10);
  CHECK(at::equal(all.narrow(0, 2, 2), roughened(pictures.narrow(0, 2, 2), 1, 12)));
  CHECK_FALSE(at::equal(all[0], all[1]));
  CHECK_FALSE(at::equal(all, roughened(pictures, 2, 10)));
  CHECK((all - pictures).abs().max().item<double>() < 1.0);
}

TEST_CASE("attributes that are missing or strange are refused") {
  CHECK(attributes_of({{"object", "a"}, {"background", "b"}}, "x").count == 1);
  CHECK_THROWS_WITH(attributes_of({{"object", "a"}}, "x.png"),
                    Contains("x.png: its metadata has no text \"background\""));
  for (const nlohmann::json& count :
       {nlohmann::json(0), nlohmann::json("2"), nlohmann::json(1.5)}) {
    CHECK_THROWS_AS(attributes_of({{"object", "a"}, {"background", "b"}, {"count", count}}, "x"),
                    Error);
  }
}

TEST_CASE("other files are no classifiers") {
  const TempDir dir;
  CHECK_THROWS_WITH(load_classifier(dir.write("a.safetensors", std::string(8, '\0') + "{}")),
                    Contains("a.safetensors"));
  const auto empty = dir.write("b.safetensors", std::string("\x02\0\0\0\0\0\0\0{}", 10));
  CHECK_THROWS_WITH(load_classifier(empty), Contains("no attribute classifier"));
}

TEST_CASE("a border's colour is that of most of its pixels") {
  Image picture = plain_picture(5, 4, 10, 20, 30);
  for (std::size_t i = 0; i < 9; ++i) picture.rgb[i] = 200;
  CHECK(border_color(picture) == std::array<double, 3>{10, 20, 30});
}
