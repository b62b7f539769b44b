#include "ldm/app/jobs.h"

#include "ldm/core/error.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace ldm::app {
namespace {

struct Read {
  std::vector<Job> jobs;
  std::vector<JobFault> faults;
};

Read read_all(const Options& options) {
  Read read;
  JobReader reader(options);
  while (reader.next(read.jobs, read.faults)) {
  }
  return read;
}

Options with_jobs(const test::TempDir& dir, const std::string& text) {
  Options options;
  options.jobs = dir.write("jobs.jsonl", text).string();
  options.seed = 100;
  return options;
}

std::string fault_text(const Read& read) {
  std::string text;
  for (const JobFault& fault : read.faults) {
    text += fault.source.substr(fault.source.find_last_of('/') + 1) + ": " + fault.message + "\n";
  }
  return text;
}

TEST_CASE("a job is its line over the command line, numbered by pictures") {
  const test::TempDir dir;
  Options options = with_jobs(dir,
                              "\xEF\xBB\xBF{\"prompt\": \"a\", \"num_images\": 3}\r\n"
                              "\n"
                              "# a remark\n"
                              "{\"prompt\": \"b\", \"steps\": 7, \"seed\": 5, \"id\": \"x\"}\n"
                              "{\"prompt\": \"c\"}");
  options.steps = 20;
  options.negative_prompt = "grey";
  const Read read = read_all(options);
  CHECK(fault_text(read).empty());
  REQUIRE(read.jobs.size() == 3);
  CHECK(read.jobs[0].options.prompt == "a");
  CHECK(read.jobs[0].options.steps == 20);
  CHECK(read.jobs[0].options.seed == 100U);
  CHECK(read.jobs[0].first == 0);
  CHECK(read.jobs[1].options.steps == 7);
  CHECK(read.jobs[1].options.seed == 5U);
  CHECK(read.jobs[1].options.negative_prompt == "grey");
  CHECK(read.jobs[1].first == 3);
  CHECK(read.jobs[1].source.ends_with("jobs.jsonl:4"));
  CHECK(read.jobs[2].options.seed == 104U);
  CHECK(read.jobs[2].first == 4);
}

TEST_CASE("every wrong line is told, with its number") {
  const test::TempDir dir;
  const Read read = read_all(with_jobs(dir,
                                       "{\"promt\": \"a\"}\n"
                                       "{\"prompt\": \"b\", \"steps\": 0, \"width\": 517}\n"
                                       "nonsense\n"
                                       "[1]\n"
                                       "{\"prompt\": \"a\\u0000b\"}\n"
                                       "{\"prompt\": \"c\", \"device\": \"cpu\"}\n"
                                       "{\"prompt\": 3}\n"
                                       "{\"seed\": 1, \"seed\": 2}\n"
                                       "{\"prompt\": \"caf\xE9\"}\n"
                                       "{\"prompt\": \"good\"}\n"));
  const std::string text = fault_text(read);
  INFO(text);
  CHECK(read.faults.size() == 9);
  CHECK(text.find("jobs.jsonl:1: /promt: unknown key\n") != std::string::npos);
  CHECK(text.find("jobs.jsonl:2: --steps: 0 is not within 1…1000; width 517: width must be a "
                  "multiple of 8: 512 or 520\n") != std::string::npos);
  CHECK(text.find("jobs.jsonl:3: byte ") != std::string::npos);
  CHECK(text.find("jobs.jsonl:4: expected a JSON object, found array\n") != std::string::npos);
  CHECK(text.find("jobs.jsonl:5: byte 1: NUL\n") != std::string::npos);
  CHECK(text.find("jobs.jsonl:6: /device: holds for the whole run") != std::string::npos);
  CHECK(text.find("jobs.jsonl:7: /prompt: expected a string, found number\n") != std::string::npos);
  CHECK(text.find("jobs.jsonl:8: ") != std::string::npos);
  CHECK(text.find("jobs.jsonl:9: byte 15: ") != std::string::npos);
  REQUIRE(read.jobs.size() == 1);
  CHECK(read.jobs[0].first == 9);
}

TEST_CASE("prompts are lines of text, whatever they hold") {
  const test::TempDir dir;
  Options options;
  options.seed = 1;
  options.prompts = dir.write("p.txt", "a, \"b\" {c}\n  \n#x\n é #y \ninvalid \xFF byte").string();
  const Read read = read_all(options);
  REQUIRE(read.jobs.size() == 2);
  CHECK(read.jobs[0].options.prompt == "a, \"b\" {c}");
  CHECK(read.jobs[1].options.prompt == " é #y ");
  CHECK(fault_text(read) == "p.txt:5: byte 8: invalid UTF-8\n");
}

TEST_CASE("sweeps make all combinations under one seed") {
  const test::TempDir dir;
  Options options = with_jobs(dir, "{\"prompt\": \"a\"}\n{\"prompt\": \"b\"}\n");
  options.sweep = std::vector<std::string>{"guidance-scale=3,7.5", "steps=10,20,30"};
  const Read read = read_all(options);
  REQUIRE(read.jobs.size() == 12);
  CHECK(read.jobs[0].options.guidance_scale == 3);
  CHECK(read.jobs[0].options.steps == 10);
  CHECK(read.jobs[1].options.steps == 20);
  CHECK(read.jobs[3].options.guidance_scale == 7.5);
  CHECK(read.jobs[5].options.seed == 100U);
  CHECK(read.jobs[6].options.prompt == "b");
  CHECK(read.jobs[6].options.seed == 101U);
  CHECK(read.jobs[11].first == 11);

  options.sweep = std::vector<std::string>{"prompt=red\\, round,blue"};
  const Read swept = read_all(options);
  REQUIRE(swept.jobs.size() == 4);
  CHECK(swept.jobs[0].options.prompt == "red, round");
}

TEST_CASE("sweeps that cannot be are refused") {
  const auto refused = [](const std::string& sweep) {
    Options options;
    options.sweep = std::vector<std::string>{sweep};
    try {
      const JobReader reader(options);
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::kUsage);
      return error.message();
    }
    return std::string("accepted");
  };
  CHECK(refused("steps") == "--sweep: \"steps\" is not KEY=V1,V2");
  CHECK(refused("stepz=1") == "--sweep: stepz cannot be swept");
  CHECK(refused("model=a,b") == "--sweep: model cannot be swept");
  CHECK(refused("steps=10,ten") == "--sweep: --steps: \"ten\" is not a whole number");
}

TEST_CASE("jobs know which values of a sweep they are") {
  const test::TempDir dir;
  Options options = with_jobs(dir, "{\"prompt\": \"a\"}\n{\"prompt\": \"b\"}\n");
  options.sweep = {"steps=2,3,4", "sampler=ddim,euler"};
  JobReader reader(options);
  REQUIRE(reader.axes().size() == 2);
  CHECK(reader.axes()[0].key == "steps");
  CHECK(reader.axes()[0].values == std::vector<std::string>{"2", "3", "4"});
  Read read;
  while (reader.next(read.jobs, read.faults)) {
  }
  REQUIRE(read.jobs.size() == 12);
  CHECK(read.jobs[9].line == 1);
  CHECK(read.jobs[9].combination == 3);
  CHECK(read.jobs[9].options.steps == 3);
  CHECK(read.jobs[9].options.sampler == "euler");
}

}  // namespace
}  // namespace ldm::app
