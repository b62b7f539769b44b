#include "ldm/app/time_left.h"

#include <chrono>
#include <thread>

#include "ldm/app/journal.h"
#include "ldm/app/progress.h"
#include "ldm/core/stopwatch.h"
#include "tests/support/catch.h"

namespace ldm::app {
namespace {

TEST_CASE("a rate forgets its first, costly measurement and fades older ones") {
  WorkRate rate;
  CHECK_FALSE(rate.seconds(1).has_value());
  rate.note(2, 20, /*first=*/true);
  CHECK(*rate.seconds(3) == Approx(30));
  rate.note(2, 4, /*first=*/true);
  CHECK(*rate.seconds(3) == Approx(6));
  rate.note(1, 7);
  CHECK(*rate.seconds(1) == Approx(0.8 * 2 + 0.2 * 7));
  rate.note(0, 100);
  CHECK(*rate.seconds(1) == Approx(3));
}

TEST_CASE("time left weighs steps and decodes of pictures of several sizes") {
  TimeLeft time;
  const PictureCost small{100, 10}, large{400, 40};
  time.begin(small, {2 * 100 + 400, 2 * 10 + 40}, 2);
  CHECK_FALSE(time.seconds().has_value());
  time.stepped(10, 1, 5);  // packs weights
  time.stepped(10, 1, 1);
  // 58 of 60 parts of the UNet work at 0.1 s a unit; decoding is taken to be as fast.
  CHECK(*time.seconds() == Approx(580 * 0.1 + 60 * 0.1));
  for (int i = 2; i < 10; ++i) time.stepped(10, 1, 1);
  time.decoded(20);
  CHECK(*time.seconds() == Approx(500 * 0.1 + 50 * 2));
  time.encoded(1, 3);
  CHECK(*time.seconds() == Approx(500 * 0.1 + 50 * 2 + 2 * 3));
  time.begin(large, {400, 40}, 0);
  for (int i = 0; i < 20; ++i) time.stepped(20, 1, 2);
  CHECK(*time.seconds() == Approx(40 * 2));
  time.decoded(80);
  CHECK(*time.seconds() == Approx(0).margin(1e-9));
}

TEST_CASE("weights still to be read are part of the time left") {
  TimeLeft time;
  time.expect_load(4e8);
  CHECK(time.load_seconds() == Approx(4));
  time.loaded(1e8, 0.5);
  CHECK(time.load_seconds() == Approx(1.5));
  time.begin({10, 1}, {10, 1}, 0);
  time.stepped(1, 1, 10);
  CHECK(*time.seconds() == Approx(1.5 + 1));
}

TEST_CASE("a picture's seconds run on over a call that begins while it waits") {
  Console console;
  console.quiet = true;
  ProgressMeter meter(console, /*shown=*/false);
  const auto wait = [] { std::this_thread::sleep_for(std::chrono::milliseconds(30)); };
  meter.begin({{}, {}, 1, 3, 0, 0});
  wait();
  meter.begin({{}, {}, 1, 3, 0, 1});
  StepInfo step;
  step.of = 2;
  meter.on_step(step);
  CHECK(meter.state().image == 2);
  meter.on_image({}, "1.png");
  CHECK(meter.image_seconds() >= 0.03);
  meter.on_image({}, "2.png");
  wait();
  const Stopwatch since_call;
  meter.begin({{}, {}, 1, 3, 2, 0});
  meter.on_step(step);
  CHECK(meter.state().image == 3);
  meter.on_image({}, "3.png");
  // The wait before the call is none of the third's.
  CHECK(meter.image_seconds() <= since_call.seconds());
}

TEST_CASE("the progress line fits its terminal and drops what matters least") {
  ProgressState state;
  state.images = 4;
  state.image = 2;
  state.step = 15;
  state.steps = 30;
  state.step_s = 1.5;
  state.left_s = 116;
  CHECK(progress_line(state, 100) ==
        "image 2/4  [###############...............]  step 15/30  1.50 s/it  ETA 1:56");
  CHECK(progress_line(state, 50) == "image 2/4  step 15/30  1.50 s/it  ETA 1:56");
  state.image_s = 46.2;
  state.rss_bytes = 1.5 * (1 << 30);
  state.peak_rss_bytes = 2.0 * (1 << 30);
  CHECK(progress_line(state, 90) ==
        "image 2/4  step 15/30  1.50 s/it  46.2 s/image  1.5 GiB (peak 2.0 GiB)  ETA 1:56");
  CHECK(progress_line(state, 66) == "image 2/4  step 15/30  1.50 s/it  46.2 s/image  ETA 1:56");
  state.decoding = true;
  CHECK(progress_line(state, 66) == "image 2/4  decoding  1.50 s/it  46.2 s/image  ETA 1:56");
  for (std::size_t columns : {1, 10, 40, 60, 61, 62, 80, 200}) {
    CHECK(progress_line(state, columns).size() < columns);
  }
  CHECK(clock_text(0) == "0:00");
  CHECK(clock_text(59.6) == "1:00");
  CHECK(clock_text(3723) == "1:02:03");
  CHECK(image_rate_text(2.14) == "2.1 s/image");
  CHECK(image_rate_text(0.5) == "120 images/min");
}

TEST_CASE("journals tell the speed of a batch, whoever made it and with whatever pauses") {
  JournalSummary journals;
  const auto add = [&journals](const char* name, double finished, double seconds) {
    journals.images[name] = {{"seconds", seconds}, {"finished", finished}};
  };
  CHECK_FALSE(seconds_per_picture(journals).has_value());
  journals.images["old.png"] = {{"path", "old.png"}};
  CHECK_FALSE(seconds_per_picture(journals).has_value());
  add("a.png", 1000, 10);
  add("b.png", 1010, 10);
  CHECK(*seconds_per_picture(journals) == Approx(10));
  add("c.png", 90000, 10);  // after a night
  CHECK(*seconds_per_picture(journals) == Approx(10));
  add("d.png", 90002, 10);  // by a second process, at the same time
  CHECK(*seconds_per_picture(journals) == Approx(32.0 / 4));
}

}  // namespace
}  // namespace ldm::app
