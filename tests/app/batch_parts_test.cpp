#include <cstdlib>

#include "ldm/app/batch_tasks.h"
#include "ldm/app/done_tasks.h"
#include "ldm/app/journal.h"
#include "ldm/app/picture_names.h"
#include "ldm/app/shard.h"
#include "ldm/core/error.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace ldm::app {
namespace {

template <typename Action>
std::string refusal(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.message();
  }
  return "accepted";
}

/// Sets an environment variable for one scope.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) { ::setenv(name, value, 1); }
  ~Variable() { ::unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
};

TEST_CASE("picture names come from their template and stay in the folder") {
  const NameFields fields{7, 42, "cat_1", "ddim", 30};
  CHECK(NameTemplate("{index:06}-{seed}.png").name(fields) == "000007-42.png");
  CHECK(NameTemplate("{id}-{sampler}-{steps}").name(fields) == "cat_1-ddim-30.png");
  CHECK(refusal([] { NameTemplate("{prompt}"); }).find("unknown field {prompt}") !=
        std::string::npos);
  CHECK(refusal([] { NameTemplate("{index"); }).find("a { without its }") != std::string::npos);
  CHECK(refusal([] { NameTemplate("../{index}"); }).find("names are of letters") !=
        std::string::npos);
  CHECK(refusal([] { NameTemplate("{index:n}"); }).find("cannot pad") != std::string::npos);
  for (const char* id : {"../x", ".hidden", "-flag", "a b", "a\nb", "", "%n/"}) {
    const NameFields hostile{7, 42, id, "ddim", 30};
    INFO(id);
    CHECK(refusal([&] { NameTemplate("{id}").name(hostile); }).find("cannot be a picture's name") !=
          std::string::npos);
  }
  const NameFields longest{7, 42, std::string(117, 'x'), "ddim", 30};
  CHECK(refusal([&] { NameTemplate("{id}").name(longest); }) != "accepted");
  CHECK(named_output("cat.png", 0, 1) == "cat.png");
  CHECK(named_output("cat", 2, 3) == "cat-0003.png");
  CHECK(refusal([] { named_output("a/b", 0, 1); }) != "accepted");
}

TEST_CASE("shards come from the command line or from a launcher") {
  CHECK(read_shard("2/4").index == 2);
  CHECK(read_shard("2/4").count == 4);
  CHECK(read_shard("2/4").holds(6));
  CHECK_FALSE(read_shard("2/4").holds(7));
  for (const char* text : {"4/4", "-1/4", "1", "a/b", "0/0", "1/2/3", ""}) {
    INFO(text);
    CHECK(refusal([&] { read_shard(text); }) != "accepted");
  }
  CHECK(refusal([] { read_shard("auto"); }) ==
        "--shard auto: no launcher has said which shard this is");
  {
    const Variable rank("RANK", "1"), world("WORLD_SIZE", "3"), local("LOCAL_RANK", "1");
    CHECK(read_shard("auto").index == 1);
    CHECK(read_shard("auto").count == 3);
    CHECK(read_shard("auto").local_rank == 1);
  }
  const Variable id("SLURM_ARRAY_TASK_ID", "12"), count("SLURM_ARRAY_TASK_COUNT", "4"),
      least("SLURM_ARRAY_TASK_MIN", "10");
  CHECK(read_shard("auto").index == 2);
  CHECK(read_shard("auto").count == 4);
  const Variable proc("SLURM_PROCID", "1"), tasks("SLURM_NTASKS", "2");
  CHECK(read_shard("auto").index == 5);
  CHECK(read_shard("auto").count == 8);
}

TEST_CASE("time limits are read in hours, minutes and seconds") {
  CHECK(read_time_limit("3h50m") == 13800);
  CHECK(read_time_limit("45m") == 2700);
  CHECK(read_time_limit("1.5s") == 1.5);
  CHECK(read_time_limit("90") == 90);
  for (const char* text : {"", "0", "-5s", "5d", "h", "1h-5m", "nan"}) {
    INFO(text);
    CHECK(refusal([&] { read_time_limit(text); }) != "accepted");
  }
}

TEST_CASE("journals lose damaged lines and nothing else") {
  const std::string first = journal_line({{"event", "image"}, {"index", 1}, {"path", "a.png"}});
  const std::string second = journal_line({{"event", "image"}, {"index", 2}, {"path", "b\u2028"}});
  CHECK(first.starts_with("{\"event\":\"image\",\"index\":1,\"path\":\"a.png\",\"crc\":\""));
  const std::string text = first + "\n" + second + "\n";
  REQUIRE(read_journal(text).size() == 2);
  CHECK(read_journal(text)[1]["path"] == "b\u2028");
  for (std::size_t cut = 0; cut < text.size(); ++cut) {
    const std::size_t whole = cut < first.size() ? 0U : cut < text.size() - 1 ? 1U : 2U;
    CHECK(read_journal(text.substr(0, cut)).size() == whole);
  }
  for (std::size_t i = 0; i < first.size(); ++i) {
    std::string damaged = text;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    CHECK(read_journal(damaged).size() == 1);
  }
}

TEST_CASE("a folder's journals are read together") {
  const test::TempDir dir;
  const auto line = [](const nlohmann::ordered_json& entry) { return journal_line(entry) + "\n"; };
  dir.write("journal-0-of-2.jsonl",
            line({{"event", "run"}, {"seed", 7}, {"pictures", 4}}) +
                line({{"event", "failed"}, {"index", 2}, {"message", "no"}}) +
                line({{"event", "failed"}, {"index", 4}, {"message", "no"}}));
  dir.write("journal-1-of-2.jsonl",
            line({{"event", "image"}, {"index", 2}, {"path", "c.png"}, {"job", "x"}}) +
                line({{"event", 5}}) + "torn");
  const JournalSummary summary = read_journals(OutputFolder(dir.path()));
  CHECK(summary.seed == 7U);
  CHECK(summary.pictures == 4);
  CHECK(summary.images.count("c.png") == 1);
  CHECK(summary.failed.size() == 1);
  CHECK(summary.failed.count(4) == 1);
}

TEST_CASE("tasks of one kind are grouped, in the order of their first") {
  const auto groups_of = [](const std::vector<int>& kinds, int batch_size) {
    std::vector<Task> tasks(kinds.size());
    for (std::size_t i = 0; i < kinds.size(); ++i) tasks[i].kind = kinds[i];
    return group_tasks(tasks, batch_size);
  };
  using Groups = std::vector<std::vector<std::size_t>>;
  CHECK(groups_of({0, 0, 0}, 1) == Groups{{0}, {1}, {2}});
  CHECK(groups_of({0, 1, 0, 0, 1}, 2) == Groups{{0, 2}, {1, 4}, {3}});
  CHECK(groups_of({}, 4).empty());
}

TEST_CASE("tasks that are done are counted once, in any order") {
  DoneTasks done;
  CHECK(done.empty());
  CHECK_FALSE(done.contains(7));
  for (const std::size_t task : {7, 3, 7, 1000}) done.insert(task);
  CHECK(done.size() == 3);
  CHECK(done.first() == 3);
  CHECK((done.contains(3) && done.contains(7) && done.contains(1000)));
  CHECK_FALSE((done.contains(0) || done.contains(8) || done.contains(2000)));
  done.clear();
  CHECK(done.empty());
  CHECK_FALSE(done.contains(7));
}

}  // namespace
}  // namespace ldm::app
