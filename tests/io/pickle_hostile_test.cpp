// Pickles that must not be loaded, each with the rule that refuses it and what the message says.
#include <string>
#include <vector>

#include "tests/io/errors.h"
#include "tests/io/pickle_bytes.h"
#include "tests/support/catch.h"

namespace ldm {
namespace {

using test::Contains;
using test::error_of;
using test::py_dict;
using test::py_dims;
using test::py_file;
using test::py_floats;
using test::py_global;
using test::py_hooks;
using test::py_int;
using test::py_storage;
using test::py_tensor;
using test::py_text;
using test::py_tuple;
using test::raw_number;
using test::read_pickle;

struct Hostile {
  std::string what;
  std::string file;
  std::string rule;
  std::string message = "at byte ";
};

void check_all(const std::vector<Hostile>& table) {
  for (const Hostile& row : table) {
    INFO(row.what);
    const auto error = error_of([&] { read_pickle(row.file); });
    REQUIRE(error);
    CHECK(error->rule() == row.rule);
    CHECK_THAT(error->message(), Contains(row.message));
    CHECK(error->exit_code() == 4);
  }
}

// In a dict beside good weights, where a scan of the first bytes would not see it.
std::string hidden(const std::string& value) {
  return py_file(py_dict({"w", py_floats("0", 4), "x", value}));
}

const std::string kZero(1, '\0');
const std::string kSystem = py_global("os", "system");

TEST_CASE("hostile pickles: names outside the allow-list are told with their byte") {
  const std::vector<std::pair<std::string, std::string>> names = {
      {"os", "system"},
      {"os", "popen"},
      {"os", "execve"},
      {"os", "remove"},
      {"os", "putenv"},
      {"posix", "system"},
      {"nt", "system"},
      {"subprocess", "Popen"},
      {"subprocess", "call"},
      {"subprocess", "check_output"},
      {"subprocess", "getoutput"},
      {"builtins", "eval"},
      {"builtins", "exec"},
      {"builtins", "getattr"},
      {"builtins", "setattr"},
      {"builtins", "__import__"},
      {"builtins", "compile"},
      {"builtins", "open"},
      {"builtins", "print"},
      {"builtins", "map"},
      {"builtins", "object"},
      {"builtins", "bytearray"},
      {"builtins", "dict"},
      {"__builtin__", "eval"},
      {"__builtin__", "getattr"},
      {"__builtin__", "apply"},
      {"__builtin__", "file"},
      {"importlib", "import_module"},
      {"importlib.machinery", "SourceFileLoader"},
      {"runpy", "run_path"},
      {"runpy", "_run_code"},
      {"sys", "modules"},
      {"sys", "exit"},
      {"socket", "socket"},
      {"shutil", "rmtree"},
      {"pickle", "loads"},
      {"_pickle", "loads"},
      {"marshal", "loads"},
      {"ctypes", "CDLL"},
      {"code", "InteractiveInterpreter"},
      {"codeop", "compile_command"},
      {"pty", "spawn"},
      {"platform", "popen"},
      {"commands", "getoutput"},
      {"webbrowser", "open"},
      {"urllib.request", "urlretrieve"},
      {"http.client", "HTTPSConnection"},
      {"requests.api", "get"},
      {"ftplib", "FTP"},
      {"smtplib", "SMTP"},
      {"timeit", "timeit"},
      {"cProfile", "run"},
      {"profile", "Profile.run"},
      {"pdb", "run"},
      {"bdb", "Bdb.run"},
      {"trace", "Trace.run"},
      {"doctest", "debug_script"},
      {"idlelib.run", "Executive.runcode"},
      {"lib2to3.pgen2.grammar", "Grammar.loads"},
      {"asyncio.unix_events", "_UnixSubprocessTransport._start"},
      {"multiprocessing.util", "spawnv_passfds"},
      {"logging.config", "fileConfig"},
      {"pip", "main"},
      {"pkgutil", "resolve_name"},
      {"pydoc", "pipepager"},
      {"venv", "create"},
      {"zipimport", "zipimporter"},
      {"functools", "partial"},
      {"functools", "reduce"},
      {"operator", "attrgetter"},
      {"operator", "methodcaller"},
      {"types", "CodeType"},
      {"types", "FunctionType"},
      {"copyreg", "_reconstructor"},
      {"copy_reg", "_reconstructor"},
      {"collections", "defaultdict"},
      {"collections", "Counter"},
      {"numpy", "load"},
      {"numpy", "fromfile"},
      {"numpy", "ndarray"},
      {"numpy.core.multiarray", "_reconstruct"},
      {"numpy.testing._private.utils", "runstring"},
      {"numpy.f2py.crackfortran", "getlincoef"},
      {"torch", "load"},
      {"torch", "Tensor"},
      {"torch", "QInt8Storage"},
      {"torch", "ComplexFloatStorage"},
      {"torch.hub", "load"},
      {"torch.jit", "load"},
      {"torch.jit.unsupported_tensor_ops", "execWrapper"},
      {"torch.serialization", "load"},
      {"torch.storage", "_load_from_bytes"},
      {"torch.storage", "UntypedStorage"},
      {"torch.storage", "TypedStorage"},
      {"torch._inductor.codecache", "compile_file"},
      {"torch._dynamo.guards", "GuardBuilder.get"},
      {"torch.fx.experimental.symbolic_shapes", "ShapeEnv.evaluate_guards_expression"},
      {"torch.utils.collect_env", "run"},
      {"torch.utils._config_module", "ConfigModule.load_config"},
      {"torch.utils.bottleneck.__main__", "run_autograd_prof"},
      {"torch.distributed.rpc", "rpc_sync"},
      {"torch.nn.modules.linear", "Linear"},
      {"torch.nn.parameter", "Parameter"},
      {"torch._tensor", "_rebuild_from_type_v2"},
      {"torch._utils", "_rebuild_tensor_v3"},
      {"torch._utils", "_rebuild_parameter_with_state"},
      {"torch._utils", "_rebuild_device_tensor_from_numpy"},
      {"torch._utils", "_rebuild_sparse_tensor"},
      {"torch._utils", "_rebuild_qtensor"},
      {"torch._utils", "_rebuild_wrapper_subclass"},
      {"torch._utils", "_import_dotted_name"},
      {"pytorch_lightning.utilities.argparse", "AttributeDict"},
      {"pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint.__init__"},
      {"omegaconf.listconfig", "ListConfig"},
      {"transformers.models.clip.modeling_clip", "CLIPTextModel"},
      {"pathlib", "PosixPath"},
      {"argparse", "Namespace"},
      {"datetime", "datetime"},
      // Names that only look like allowed ones.
      {"", ""},
      {"os.system", ""},
      {"Collections", "OrderedDict"},
      {" collections", "OrderedDict"},
      {"collections", "OrderedDict "},
      {"collections.OrderedDict", ""},
      {"collections", "OrderedDict.__init__"},
      {"torch._utils", "_rebuild_tensor_v2.__globals__"},
      {"torch", "_utils._rebuild_tensor_v2"},
      {"torch\xD1\x81", "FloatStorage"},
      {"torch", "FloatStorage\r"},
      {"_codecs", "decode"},
      {"builtins", "sets"},
  };
  CHECK(names.size() >= 120);
  for (const auto& [module, name] : names) {
    const std::string call = py_global(module, name) + py_text("true") + "\x85R";
    const std::string file = hidden(call);
    const std::size_t at = file.find(call);
    const auto error = error_of([&] { read_pickle(file); });
    INFO(module << " " << name);
    REQUIRE(error);
    CHECK(error->rule() == "E_PKL_GLOBAL");
    const std::string told = "\"" + module + " " + name + "\" at byte " + std::to_string(at) +
                             ": this file asks to run code; not loaded";
    if (name.find('\r') == std::string::npos) CHECK_THAT(error->message(), Contains(told));
    CHECK_THAT(error->hint(), Contains(".safetensors"));
  }
  const auto escape = error_of([] { read_pickle(hidden(py_global("\x1b[31mos", "system"))); });
  REQUIRE(escape);
  CHECK_THAT(escape->message(), Contains(R"("\x1b[31mos system")"));
  const auto huge =
      error_of([] { read_pickle(hidden(py_global(std::string(1 << 20, 'a'), "b"))); });
  REQUIRE(huge);
  CHECK(huge->message().size() < 400);
}

TEST_CASE("hostile pickles: opcodes that torch.save never writes") {
  check_all({
      {"INST", hidden("(X\x04" + std::string("\0\0\0true", 7) + "ios\nsystem\n"), "E_PKL_OPCODE",
       "INST"},
      {"OBJ", hidden("(" + kSystem + py_text("true") + "o"), "E_PKL_GLOBAL", "os system"},
      {"OBJ of an allowed name", hidden("(" + py_global("builtins", "set") + "o"), "E_PKL_OPCODE",
       "OBJ"},
      {"STACK_GLOBAL", hidden(py_text("os") + py_text("system") + "\x93"), "E_PKL_OPCODE",
       "STACK_GLOBAL"},
      {"STACK_GLOBAL of short texts", py_file("\x8c\x02os\x8c\x06system\x93"), "E_PKL_OPCODE",
       "SHORT_BINUNICODE"},
      {"EXT1", hidden("\x82\x01"), "E_PKL_OPCODE", "EXT1"},
      {"EXT2", hidden("\x83\x01\x01"), "E_PKL_OPCODE", "EXT2"},
      {"EXT4", hidden("\x84\x01\x01\x01\x01"), "E_PKL_OPCODE", "EXT4"},
      {"PERSID", hidden("P0\n"), "E_PKL_OPCODE", "PERSID"},
      {"DUP", hidden("N2"), "E_PKL_OPCODE", "DUP"},
      {"POP", hidden("NN0"), "E_PKL_OPCODE", "POP"},
      {"POP_MARK", hidden("(N1"), "E_PKL_OPCODE", "POP_MARK"},
      {"NEWOBJ_EX", hidden(py_global("builtins", "set") + ")}\x92"), "E_PKL_OPCODE", "NEWOBJ_EX"},
      {"BYTEARRAY8", hidden("\x96" + raw_number(~0ULL, 8)), "E_PKL_OPCODE", "BYTEARRAY8"},
      {"NEXT_BUFFER", hidden("\x97"), "E_PKL_OPCODE", "NEXT_BUFFER"},
      {"FRAME", "\x80\x02\x95" + raw_number(1, 8) + "N.", "E_PKL_OPCODE", "FRAME"},
      {"MEMOIZE", hidden("N\x94"), "E_PKL_OPCODE", "MEMOIZE"},
      {"INT", hidden("I1\n"), "E_PKL_OPCODE", "INT"},
      {"LONG", hidden("L1L\n"), "E_PKL_OPCODE", "LONG"},
      {"LONG4", hidden("\x8b" + raw_number(0x7FFFFFFF, 4)), "E_PKL_OPCODE", "LONG4"},
      {"FLOAT", hidden("F1.5\n"), "E_PKL_OPCODE", "FLOAT"},
      {"STRING", hidden("S'a'\n"), "E_PKL_OPCODE", "STRING"},
      {"UNICODE", hidden("Va\n"), "E_PKL_OPCODE", "UNICODE"},
      {"BINSTRING", hidden("T" + raw_number(1, 4) + "a"), "E_PKL_OPCODE", "BINSTRING"},
      {"BINBYTES", hidden("B" + raw_number(1, 4) + "a"), "E_PKL_OPCODE", "BINBYTES"},
      {"BINUNICODE8", hidden("\x8d" + raw_number(~0ULL, 8)), "E_PKL_OPCODE", "BINUNICODE8"},
      {"BINBYTES8", hidden("\x8e" + raw_number(~0ULL, 8)), "E_PKL_OPCODE", "BINBYTES8"},
      {"EMPTY_SET", hidden("\x8f"), "E_PKL_OPCODE", "EMPTY_SET"},
      {"FROZENSET", hidden("(\x91"), "E_PKL_OPCODE", "FROZENSET"},
      {"PUT", hidden("Np0\n"), "E_PKL_OPCODE", "PUT"},
      {"GET", hidden("g0\n"), "E_PKL_OPCODE", "GET"},
      {"DICT", hidden("(d"), "E_PKL_OPCODE", "DICT"},
      {"LIST", hidden("(l"), "E_PKL_OPCODE", "LIST"},
  });
}

TEST_CASE("hostile pickles: calls of what is allowed, in ways that are not") {
  const std::string set = py_global("builtins", "set");
  const std::string dict = py_hooks();
  const std::string rebuild = py_global("torch._utils", "_rebuild_tensor_v2");
  const std::string parameter = py_global("torch._utils", "_rebuild_parameter");
  const std::string storage = py_storage("0", 4);
  check_all({
      {"a call of None", hidden("N)R"), "E_PKL_CALL"},
      {"a call of a text", hidden(py_text("os.system") + ")R"), "E_PKL_CALL"},
      {"a call of a dict", hidden("})R"), "E_PKL_CALL"},
      {"a call of a tensor", hidden(py_floats("0", 4) + ")R"), "E_PKL_CALL"},
      {"a call of an opaque object", hidden(set + ")R)R"), "E_PKL_CALL"},
      {"a call of a storage type", hidden(py_global("torch", "FloatStorage") + ")R"), "E_PKL_CALL"},
      {"a call of a constant", hidden(py_global("torch", "float32") + ")R"), "E_PKL_CALL"},
      {"arguments that are a list", hidden(set + "]R"), "E_PKL_CALL"},
      {"arguments that are a dict", hidden(set + "}R"), "E_PKL_CALL"},
      {"a new object with a list", hidden(set + "]\x81"), "E_PKL_CALL"},
      {"a new object of None", hidden("N)\x81"), "E_PKL_CALL"},
      {"a new object of a storage type", hidden(py_global("torch", "HalfStorage") + ")\x81"),
       "E_PKL_CALL"},
      {"a new object of a function", hidden(rebuild + ")\x81"), "E_PKL_CALL"},
      {"OrderedDict of items", hidden(py_global("collections", "OrderedDict") + "]\x85R"),
       "E_PKL_CALL"},
      {"rebuild without arguments", hidden(rebuild + ")R"), "E_PKL_CALL"},
      {"rebuild with one argument", hidden(rebuild + storage + "\x85R"), "E_PKL_CALL"},
      {"rebuild with eight arguments", hidden(rebuild + "(" + storage + "NNNNNNNtR"), "E_PKL_CALL"},
      {"a parameter of None", hidden(parameter + "NNN\x87R"), "E_PKL_CALL"},
      {"a parameter of a storage", hidden(parameter + storage + "NN\x87R"), "E_PKL_CALL"},
      {"a parameter of nothing", hidden(parameter + ")R"), "E_PKL_CALL"},
      {"BUILD on a dict", hidden("}}b"), "E_PKL_CALL", "BUILD"},
      {"BUILD on a list", hidden("]}b"), "E_PKL_CALL", "BUILD"},
      {"BUILD on a text", hidden(py_text("a") + "}b"), "E_PKL_CALL", "BUILD"},
      {"BUILD on a tensor", hidden(py_floats("0", 4) + "}b"), "E_PKL_CALL", "BUILD"},
      {"BUILD on a class", hidden(py_global("collections", "OrderedDict") + "}b"), "E_PKL_CALL",
       "BUILD"},
      {"BUILD on a function", hidden(rebuild + "}b"), "E_PKL_CALL", "BUILD"},
      {"BUILD of an OrderedDict with a tuple",
       hidden(dict + "N}\x86"
                     "b"),
       "E_PKL_CALL", "BUILD"},
      {"BUILD of an OrderedDict with None", hidden(dict + "Nb"), "E_PKL_CALL", "BUILD"},
      {"SETITEM on a list", hidden("]K\x01K\x02s"), "E_PKL_TYPE", "SETITEM"},
      {"SETITEM on None", hidden("NNNs"), "E_PKL_TYPE", "SETITEM"},
      {"SETITEM on a tuple", hidden("NN\x86K\x01K\x02s"), "E_PKL_TYPE", "SETITEM"},
      {"SETITEM on a tensor", hidden(py_floats("0", 4) + "K\x01K\x02s"), "E_PKL_TYPE", "SETITEM"},
      {"SETITEM on a class", hidden(set + "NNs"), "E_PKL_TYPE", "SETITEM"},
      {"SETITEM on an opaque object", hidden(set + ")RNNs"), "E_PKL_TYPE", "SETITEM"},
      {"a list as a key", hidden("}]Ns"), "E_PKL_TYPE", "key"},
      {"a dict as a key", hidden("}(}Nu"), "E_PKL_TYPE", "key"},
      {"SETITEMS on a list", hidden("](K\x01K\x02u"), "E_PKL_TYPE", "SETITEM"},
      {"APPEND on a dict", hidden("}Na"), "E_PKL_TYPE", "APPEND"},
      {"APPEND on a tuple", hidden(")Na"), "E_PKL_TYPE", "APPEND"},
      {"APPEND on a text", hidden(py_text("") + "Na"), "E_PKL_TYPE", "APPEND"},
      {"APPENDS on a dict", hidden("}(NNe"), "E_PKL_TYPE", "APPEND"},
      {"APPENDS on an opaque object", hidden(set + ")R(NNe"), "E_PKL_TYPE", "APPEND"},
  });
}

TEST_CASE("hostile pickles: storages that are none") {
  const std::string type = py_global("torch", "FloatStorage");
  const auto id = [](std::initializer_list<std::string> parts) {
    return hidden(py_tuple(parts) + "Q");
  };
  const std::string word = py_text("storage");
  const std::string key = py_text("0");
  const std::string where = py_text("cpu");
  check_all({
      {"None", hidden("NQ"), "E_PKL_STORAGE"},
      {"a text", hidden(py_text("os.system") + "Q"), "E_PKL_STORAGE"},
      {"an empty tuple", hidden(")Q"), "E_PKL_STORAGE"},
      {"four parts", id({word, type, key, where}), "E_PKL_STORAGE"},
      {"six parts", id({word, type, key, where, py_int(4), "N"}), "E_PKL_STORAGE"},
      {"another word", id({py_text("module"), type, key, where, py_int(4)}), "E_PKL_STORAGE"},
      {"no word", id({"N", type, key, where, py_int(4)}), "E_PKL_STORAGE"},
      {"a class that is no storage",
       id({word, py_global("collections", "OrderedDict"), key, where, py_int(4)}), "E_PKL_STORAGE"},
      {"a constant", id({word, py_global("torch", "float32"), key, where, py_int(4)}),
       "E_PKL_STORAGE"},
      {"no class", id({word, "N", key, where, py_int(4)}), "E_PKL_STORAGE"},
      {"a key that is a path", id({word, type, py_text("../data.pkl"), where, py_int(4)}),
       "E_PKL_STORAGE", ".."},
      {"a key that is a word", id({word, type, py_text("a"), where, py_int(4)}), "E_PKL_STORAGE"},
      {"an empty key", id({word, type, py_text(""), where, py_int(4)}), "E_PKL_STORAGE"},
      {"a key with a sign", id({word, type, py_text("-1"), where, py_int(4)}), "E_PKL_STORAGE"},
      {"a key with NUL", id({word, type, py_text("0" + kZero), where, py_int(4)}), "E_PKL_STORAGE"},
      {"a key of 21 digits", id({word, type, py_text("100000000000000000000"), where, py_int(4)}),
       "E_PKL_STORAGE"},
      {"a key that is a number", id({word, type, py_int(0), where, py_int(4)}), "E_PKL_STORAGE"},
      {"a place that is none", id({word, type, key, "N", py_int(4)}), "E_PKL_STORAGE"},
      {"a negative length", id({word, type, key, where, py_int(-4)}), "E_PKL_STORAGE", "-4"},
      {"a length that is a text", id({word, type, key, where, py_text("4")}), "E_PKL_STORAGE"},
      {"a length that is a fraction", id({word, type, key, where, "G" + std::string(8, '\0')}),
       "E_PKL_STORAGE"},
      {"one key, two lengths", hidden(py_storage("0", 5)), "E_PKL_STORAGE", "was 4 F32"},
      {"one key, two types", hidden(py_storage("0", 4, "HalfStorage")), "E_PKL_STORAGE", "4 F16"},
  });
}

TEST_CASE("hostile pickles: tensors that reach beyond their storage") {
  constexpr std::int64_t kHuge = INT64_MAX;
  const std::string of = py_storage("0", 4);
  const auto view = [&of](std::int64_t offset, std::initializer_list<std::int64_t> sizes,
                          std::initializer_list<std::int64_t> strides) {
    return hidden(py_tensor(of, offset, sizes, strides));
  };
  const auto call = [](std::initializer_list<std::string> arguments) {
    return hidden(py_global("torch._utils", "_rebuild_tensor_v2") + py_tuple(arguments) + "R");
  };
  const std::string one = py_dims({1});
  check_all({
      {"one too many", view(0, {5}, {1}), "E_PKL_TENSOR", "beyond the 4 elements"},
      {"an offset at the end", view(4, {1}, {1}), "E_PKL_TENSOR"},
      {"an offset beyond the end", view(5, {0}, {1}), "E_PKL_TENSOR"},
      {"a huge offset", view(kHuge, {1}, {1}), "E_PKL_TENSOR"},
      {"a negative offset", view(-1, {1}, {1}), "E_PKL_TENSOR", "offset"},
      {"the smallest offset", view(INT64_MIN, {1}, {1}), "E_PKL_TENSOR", "offset"},
      {"a negative size", view(0, {-1}, {1}), "E_PKL_TENSOR", "sizes"},
      {"two negative sizes", view(0, {-2, -2}, {2, 1}), "E_PKL_TENSOR", "sizes"},
      {"a negative stride", view(3, {4}, {-1}), "E_PKL_TENSOR", "strides"},
      {"a stride too long", view(0, {2}, {4}), "E_PKL_TENSOR"},
      {"a huge stride", view(0, {2}, {kHuge}), "E_PKL_TENSOR"},
      {"strides whose sum wraps", view(0, {3, 3, 2}, {kHuge, kHuge, 4}), "E_PKL_TENSOR"},
      {"a huge size", view(0, {kHuge}, {1}), "E_PKL_TENSOR"},
      {"sizes whose product wraps to 0", view(0, {1LL << 32, 1LL << 32}, {0, 0}), "E_PKL_TENSOR",
       "more than"},
      {"sizes whose product wraps to 4", view(0, {(1LL << 62) + 1, 4}, {0, 0}), "E_PKL_TENSOR",
       "more than"},
      {"an expansion to a terabyte", view(0, {1LL << 20, 1LL << 20}, {0, 0}), "E_PKL_TENSOR",
       "more than"},
      {"an empty tensor of huge sizes", view(0, {kHuge, 0, kHuge}, {0, 0, 0}), "E_PKL_TENSOR",
       "more than"},
      {"nine dimensions", view(0, {1, 1, 1, 1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1, 1, 1}),
       "E_PKL_TENSOR", "at most 8"},
      {"more sizes than strides", view(0, {2, 2}, {1}), "E_PKL_TENSOR", "2 sizes and 1 strides"},
      {"more strides than sizes", view(0, {4}, {1, 1}), "E_PKL_TENSOR"},
      {"a scalar of an empty storage", hidden(py_tensor(py_storage("7", 0), 0, {}, {})),
       "E_PKL_TENSOR"},
      {"no storage", call({"N", py_int(0), one, one, "\x89", py_hooks()}), "E_PKL_TENSOR"},
      {"a tensor as storage", call({py_floats("0", 4), py_int(0), one, one, "\x89", py_hooks()}),
       "E_PKL_TENSOR"},
      {"an offset that is a text", call({of, py_text("0"), one, one, "\x89", py_hooks()}),
       "E_PKL_TENSOR"},
      {"an offset that is a truth value", call({of, "\x89", one, one, "\x89", py_hooks()}),
       "E_PKL_TENSOR"},
      {"sizes that are a list",
       call({of, py_int(0),
             "]K\x01"
             "a",
             one, "\x89", py_hooks()}),
       "E_PKL_TENSOR"},
      {"sizes that are a number", call({of, py_int(0), py_int(1), one, "\x89", py_hooks()}),
       "E_PKL_TENSOR"},
      {"sizes of texts", call({of, py_int(0), py_text("1") + "\x85", one, "\x89", py_hooks()}),
       "E_PKL_TENSOR"},
      {"strides of None", call({of, py_int(0), one, "N\x85", "\x89", py_hooks()}), "E_PKL_TENSOR"},
      {"sizes within sizes", call({of, py_int(0), one + "\x85", one, "\x89", py_hooks()}),
       "E_PKL_TENSOR"},
      {"the negative bit",
       call({of, py_int(0), one, one, "\x89", py_hooks(), py_dict({"neg", "\x88"})}),
       "E_PKL_TENSOR", "metadata"},
      {"a gradient of integers",
       hidden(
           py_global("torch._utils", "_rebuild_tensor_v2") +
           py_tuple({py_storage("3", 4, "LongStorage"), py_int(0), one, one, "\x88", py_hooks()}) +
           "R"),
       "E_PKL_TENSOR", "gradient"},
      {"a gradient that is a number", call({of, py_int(0), one, one, py_int(0), py_hooks()}),
       "E_PKL_TENSOR"},
      {"no hooks", call({of, py_int(0), one, one, "\x89", "N"}), "E_PKL_TENSOR"},
      {"a function as hooks", call({of, py_int(0), one, one, "\x89", py_global("builtins", "set")}),
       "E_PKL_TENSOR", "hooks"},
      {"hooks", call({of, py_int(0), one, one, "\x89", py_hooks() + "K\x01" + "K\x02s"}),
       "E_PKL_TENSOR", "hooks"},
      {"a parameter with hooks",
       hidden(py_global("torch._utils", "_rebuild_parameter") +
              py_tuple({py_floats("0", 4), "\x88", "N"}) + "R"),
       "E_PKL_TENSOR", "hooks"},
      {"metadata that are a text",
       call({of, py_int(0), one, one, "\x89", py_hooks(), py_text("neg")}), "E_PKL_TENSOR",
       "metadata"},
  });
}

TEST_CASE("hostile pickles: the machine itself") {
  std::string deep = "\x80\x02";
  for (int i = 0; i < 100'000; ++i) deep += "(";
  std::string nested = "\x80\x02}";
  for (int i = 0; i < 100; ++i) nested += py_text("a") + "}";
  nested += std::string(100, 's') + ".";
  std::string doubling = "\x80\x02]q" + kZero;
  for (int i = 0; i < 40; ++i) doubling += "(h" + kZero + "h" + kZero + "e";
  const std::string self = "\x80\x02}q" + kZero + py_text("a") + "h" + kZero + "s.";
  check_all({
      {"nothing", "", "E_PKL_TRUNC"},
      {"one byte", "\x80", "E_PKL_TRUNC"},
      {"no operations", "\x80\x02", "E_PKL_TRUNC"},
      {"no protocol", "N.", "E_PKL_PROTO"},
      {"protocol 0", "(dp0\n.", "E_PKL_PROTO"},
      {"protocol 3", "\x80\x03}.", "E_PKL_PROTO"},
      {"protocol 4", "\x80\x04\x95" + raw_number(2, 8) + "}.", "E_PKL_PROTO"},
      {"protocol 255", "\x80\xFF}.", "E_PKL_PROTO"},
      {"a second PROTO", "\x80\x02\x80\x02}.", "E_PKL_PROTO"},
      {"STOP at once", "\x80\x02.", "E_PKL_STACK"},
      {"STOP with two values", "\x80\x02}}.", "E_PKL_STACK"},
      {"STOP within a mark", "\x80\x02}(.", "E_PKL_STACK"},
      {"bytes after STOP", "\x80\x02}.N", "E_PKL_TRAIL"},
      {"a second pickle after STOP", py_file("}") + py_file(kSystem + ")R"), "E_PKL_TRAIL"},
      {"REDUCE of nothing", "\x80\x02R.", "E_PKL_STACK"},
      {"REDUCE of one value", "\x80\x02)R.", "E_PKL_STACK"},
      {"REDUCE across a mark", "\x80\x02)(R.", "E_PKL_STACK"},
      {"BUILD of nothing", "\x80\x02}b.", "E_PKL_STACK"},
      {"NEWOBJ of nothing", "\x80\x02\x81.", "E_PKL_STACK"},
      {"BINPERSID of nothing", "\x80\x02Q.", "E_PKL_STACK"},
      {"TUPLE without a mark", "\x80\x02Nt.", "E_PKL_STACK"},
      {"TUPLE3 of two", "\x80\x02NN\x87.", "E_PKL_STACK"},
      {"TUPLE1 across a mark", "\x80\x02N(\x85t.", "E_PKL_STACK"},
      {"SETITEM of two", "\x80\x02}Ns.", "E_PKL_STACK"},
      {"SETITEMS without a mark", "\x80\x02}NNu.", "E_PKL_STACK"},
      {"SETITEMS without a dict", "\x80\x02(NNu.", "E_PKL_STACK"},
      {"SETITEMS of three", "\x80\x02}(NNNu.", "E_PKL_STACK"},
      {"SETITEMS below a mark", "\x80\x02}((NNut.", "E_PKL_STACK"},
      {"APPEND of nothing", "\x80\x02]a.", "E_PKL_STACK"},
      {"APPENDS without a mark", "\x80\x02]e.", "E_PKL_STACK"},
      {"APPENDS without a list", "\x80\x02(Ne.", "E_PKL_STACK"},
      {"a memo slot that is empty", "\x80\x02h" + kZero + ".", "E_PKL_MEMO"},
      {"the last memo slot", "\x80\x02j\xFF\xFF\xFF\xFF.", "E_PKL_MEMO"},
      {"a jump in the memo", "\x80\x02}q\x01.", "E_PKL_MEMO"},
      {"a memo of 16 GiB", "\x80\x02}r\xFF\xFF\xFF\xFF.", "E_PKL_LIMIT"},
      {"a memo of nothing", "\x80\x02q" + kZero + ".", "E_PKL_STACK"},
      {"a memo of a mark", "\x80\x02(q" + kZero + ".", "E_PKL_STACK"},
      {"a text of 4 GiB", "\x80\x02X\xFF\xFF\xFF\xFF.", "E_PKL_TRUNC"},
      {"a text one byte too long", "\x80\x02X" + raw_number(4, 4) + "abc", "E_PKL_TRUNC"},
      {"a short text too long",
       "\x80\x02U\xFF"
       "abc",
       "E_PKL_TRUNC"},
      {"a text with half a character", hidden("X" + raw_number(1, 4) + "\xC3"), "E_PKL_TEXT"},
      {"a text with a surrogate", hidden("X" + raw_number(3, 4) + "\xED\xA0\x80"), "E_PKL_TEXT"},
      {"a short text of bytes", hidden("U\x01\xFF"), "E_PKL_TEXT"},
      {"an integer of 9 bytes", hidden("\x8a\x09" + std::string(9, '\1')), "E_PKL_INT", "9 bytes"},
      {"an integer of 255 bytes", hidden("\x8a\xFF" + std::string(255, '\1')), "E_PKL_INT"},
      {"an integer without its bytes", "\x80\x02\x8a\x08\x01", "E_PKL_TRUNC"},
      {"a name without an end",
       "\x80\x02"
       "cos\nsystem",
       "E_PKL_TRUNC"},
      {"a module without a name",
       "\x80\x02"
       "cos\n",
       "E_PKL_TRUNC"},
      {"a name of a megabyte",
       "\x80\x02"
       "c" +
           std::string(1 << 20, 'a'),
       "E_PKL_TRUNC"},
      {"marks without end", deep, "E_PKL_LIMIT", "deeper than 64"},
      {"no dict", py_file("]"), "E_CKPT_ROOT", "no dict"},
      {"a tensor alone", py_file(py_floats("0", 4)), "E_CKPT_ROOT", "no dict"},
      {"a state dict that is a list", py_file(py_dict({"state_dict", "]"})), "E_CKPT_ROOT",
       "state_dict"},
      {"dicts nested 100 deep", nested, "E_CKPT_LIMIT", "deeper than 64"},
      {"a dict that holds itself", self, "E_CKPT_LIMIT", "deeper than 64"},
      {"a list that holds itself", doubling + ".", "E_CKPT_ROOT", "no dict"},
      {"a tensor twice", py_file(py_dict({"w", py_floats("0", 4), "w", py_floats("1", 4)})),
       "E_CKPT_DUP", "\"w\" appears twice"},
      {"a tensor twice by nesting",
       py_file(py_dict({"a.b", py_floats("0", 4), "a", py_dict({"b", py_floats("1", 4)})})),
       "E_CKPT_DUP", "\"a.b\""},
      {"a tensor that a None replaces", py_file(py_dict({"w", py_floats("0", 4), "w", "N"})),
       "E_CKPT_DUP", "\"w\" appears twice"},
      {"two state dicts",
       py_file(py_dict({"state_dict", "}", "state_dict", py_dict({"w", py_floats("0", 4)})})),
       "E_CKPT_DUP", "state_dict"},
      {"a text and an integer of one name",
       py_file("}(K\x01" + py_floats("0", 4) + py_text("1") + "Nu"), "E_CKPT_DUP", "\"1\""},
      {"a truth value that is the key 1", py_file("}(K\x01" + py_floats("0", 4) + "\x88Nu"),
       "E_CKPT_DUP", "\"1\""},
      {"a fraction that is the key 0",
       py_file("}(K" + kZero + py_floats("0", 4) + "G" + std::string(8, '\0') + "Nu"), "E_CKPT_DUP",
       "\"0\""},
      {"a state dict under two keys that are equal",
       py_file(py_dict({"state_dict", "}(\x88NG\x3F\xF0" + std::string(6, '\0') + "Nu"})),
       "E_CKPT_DUP", "\"1\""},
      {"a name of 5000 bytes", py_file(py_dict({std::string(5000, 'a'), py_floats("0", 4)})),
       "E_CKPT_LIMIT", "5000 bytes"},
  });
}

TEST_CASE("hostile pickles: shared dicts do not multiply") {
  // 2^40 ways through 40 dicts.
  std::string file = "}q" + kZero;
  for (unsigned char i = 1; i < 40; ++i) {
    const std::string slot(1, static_cast<char>(i - 1));
    file += "}q" + std::string(1, static_cast<char>(i)) + "(" + py_text("a") + "h" + slot +
            py_text("b") + "h" + slot + "u";
  }
  const std::string all = "\x80\x02(" + file + "t.";
  const auto tuple = error_of([&] { read_pickle(all); });
  REQUIRE(tuple);
  CHECK(tuple->rule() == "E_CKPT_ROOT");
  // The same with the last dict as the root.
  std::string root =
      "}" + py_text("x") + "(" + file + "ts" + py_text("y") + "h" + std::string(1, 39) + "s";
  const auto error = error_of([&] { read_pickle(py_file(root)); });
  REQUIRE(error);
  CHECK(error->rule() == "E_CKPT_LIMIT");
}

}  // namespace
}  // namespace ldm
