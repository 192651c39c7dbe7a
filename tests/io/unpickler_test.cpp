#include "everlong/io/unpickler.h"

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "tests/io/support.h"

namespace everlong::io {
namespace {

using namespace std::string_literals;

Unpickled read(const std::string& program) { return unpickle(as_bytes("\x80\x02" + program), 0, "f"); }
std::string refusal(const std::string& program) {
  return message_of<FormatError>([&] { (void)read(program); });
}

const std::string kStorage = "(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0kX\x03\0\0\0cpuK\x06tQ"s;

/// A tensor over six floats: each part an opcode sequence.
std::string tensor(const std::string& offset, const std::string& shape, const std::string& strides) {
  return "ctorch._utils\n_rebuild_tensor_v2\n(" + kStorage + offset + shape + strides + "\x89}tR.";
}

TEST(Unpickle, ConstantsOfEveryKind) {
  EXPECT_EQ(*read("\x8a\x00."s).value.get_if<int64_t>(), 0);
  EXPECT_EQ(*read("\x8a\x01\xff."s).value.get_if<int64_t>(), -1);
  EXPECT_EQ(*read("\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80."s).value.get_if<int64_t>(), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(*read("J\xfe\xff\xff\xff."s).value.get_if<int64_t>(), -2);
  EXPECT_EQ(*read("G\xbf\xf8\0\0\0\0\0\0."s).value.get_if<double>(), -1.5);
  EXPECT_EQ(*read("U\x02hi."s).value.get_if<std::string>(), "hi");
  EXPECT_EQ(read("U\x01\xff."s).value.get_if<TorchBytes>()->data, "\xff");
  EXPECT_EQ(read("(K\x01K\x02\x91."s).value.get_if<TorchSequence>()->kind, TorchSequence::Kind::set);
  EXPECT_EQ(read("N.rest"s).end, 4);
}

TEST(Unpickle, TensorsThatReachOutsideTheirStorageAreRefused) {
  EXPECT_EQ(read(tensor("K\0"s, "K\2K\3\x86"s, "K\3K\1\x86"s)).value.get_if<TorchTensor>()->num_elements(), 6);
  EXPECT_EQ(read(tensor("K\6"s, "K\0\x85"s, "K\1\x85"s)).value.get_if<TorchTensor>()->num_elements(), 0);
  const std::string huge = "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f"s, minus = "J\xff\xff\xff\xff";
  for (const auto& [offset, shape, stride] : std::vector<std::array<std::string, 3>>{{"K\1"s, "K\6\x85"s, "K\1\x85"s},
                                                                                     {"K\0"s, "K\7\x85"s, "K\1\x85"s},
                                                                                     {"K\0"s, "K\3\x85"s, "K\3\x85"s},
                                                                                     {"K\0"s, "K\7\x85"s, "K\0\x85"s},
                                                                                     {"K\7"s, "K\0\x85"s, "K\1\x85"s},
                                                                                     {minus, "K\1\x85"s, "K\1\x85"s},
                                                                                     {huge, "K\1\x85"s, "K\1\x85"s},
                                                                                     {"K\5"s, "K\2\x85"s, minus + "\x85"},
                                                                                     {"K\0"s, minus + "\x85", "K\1\x85"s},
                                                                                     {"K\0"s, huge + "\x85", "K\0\x85"s},
                                                                                     {"K\0"s, huge + huge + "\x86", "K\0K\0\x86"s},
                                                                                     {"K\0"s, "K\2\x85"s, huge + "\x85"},
                                                                                     {"K\1"s, "K\3\x85"s, huge + "\x85"}}) {
    const std::string got = refusal(tensor(offset, shape, stride));
    EXPECT_NE(got.find("tensor over storage k] expected a view of its 6 elements, got shape ["), std::string::npos) << got;
  }
  EXPECT_NE(refusal(tensor("K\0"s, "K\6\x85"s, "K\1K\1\x86"s)).find("expected as many sizes as strides"), std::string::npos);
}

TEST(Unpickle, StoragesThatLieAreRefused) {
  EXPECT_NE(
      refusal("(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0kX\x03\0\0\0cpu\x8a\x01\xfftQ."s).find("expected a number of elements, got -1"),
      std::string::npos);
  EXPECT_NE(refusal("(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0kX\x03\0\0\0cpu\x8a\x08\0\0\0\0\0\0\0\x7ftQ."s)
                .find("expected a number of elements"),
            std::string::npos);
  EXPECT_NE(refusal(kStorage + "(X\x07\0\0\0storagectorch\nLongStorage\nX\x01\0\0\0kX\x03\0\0\0cpuK\x06tQ\x86."s).find("it was first named with"),
            std::string::npos);
  EXPECT_NE(refusal("(X\x07\0\0\0storagectorch\nSize\nX\x01\0\0\0kX\x03\0\0\0cpuK\x06tQ."s).find("expected the type of a storage, got torch.Size"),
            std::string::npos);
  EXPECT_NE(refusal(kStorage + ".").find("a storage without a tensor"), std::string::npos);
}

TEST(Unpickle, AStackOrMemoThatIsMisusedIsRefused) {
  for (const char* program :
       {".",          "0",    "R.", "N(.",  "(NR.",  "t.", "(t(.",  "K\1K\2.", "a.",    "Na.",    "]u.",       "e.",    "s.",     "}N.", "h\1.",
        "j\1\1\1\1.", "q\1.", "b.", "N]b.", "\x81.", "Q.", "}(Nu.", "}]Ns.",   "\x93.", "N\x86.", "(K\1\x86.", "\x90.", "]\x90.", "c.",  "cos\n"})
    EXPECT_TRUE(refusal(program).starts_with("[f at ")) << program << ": " << refusal(program);
}

TEST(Unpickle, NamesAreAdmittedOnlyForWhatTheyAre) {
  for (const std::string& program : {"ctorch\nFloatStorage\n."s,
                                     "ctorch\nFloatStorage\n)R."s,
                                     "ccollections\nOrderedDict\n."s,
                                     "ccollections\nOrderedDict\nNR."s,
                                     "ccollections\nOrderedDict\n]\x85]b."s,
                                     "ccollections\nOrderedDict\n)\x81."s,
                                     "ccollections\nOrderedDict\n]N\x61\x85R."s,
                                     "cargparse\nNamespace\nN\x85\x81."s,
                                     "}]b."s,
                                     "NR."s,
                                     "c_codecs\nencode\nX\2\0\0\0\xc4\x80X\6\0\0\0latin1\x86R."s,
                                     "c_codecs\nencode\nX\0\0\0\0X\4\0\0\0utf8\x86R."s,
                                     "ctorch._utils\n_rebuild_tensor_v2\n)R."s,
                                     "ctorch._utils\n_rebuild_parameter\nNNN\x87R."s,
                                     "ctorch\nSize\n]\x85R."s,
                                     "ctorch\nSize\nN\x85\x85R."s,
                                     "c__builtin__\nset\nN\x85R."s,
                                     "cos\nsystem\n."s,
                                     "X\2\0\0\0osX\6\0\0\0system\x93."s,
                                     "c__builtin__\neval\nX\3\0\0\0001+1\x85R."s})
    EXPECT_TRUE(refusal(program).starts_with("[f at ")) << program << ": " << refusal(program);
  EXPECT_NE(refusal("cos\nsystem\n.").find("[f at 2, global os.system] expected only names"), std::string::npos) << refusal("cos\nsystem\n.");
  EXPECT_EQ(*read("ctorch\nbfloat16\n.").value.get_if<std::string>(), "torch.bfloat16");
}

TEST(Unpickle, LengthsBeyondTheFileAreRefusedBeforeAnythingIsAllocated) {
  for (const std::string& program : {"X\xff\xff\xff\xff."s, "\x8d\xff\xff\xff\xff\xff\xff\xff\xff."s, "B\xff\xff\xff\x7f."s,
                                     "\x8e\xff\xff\xff\xff\xff\xff\xff\x7f."s, "\x8c\xff."s, "\x8a\xff."s, "\x8a\x09\1\1\1\1\1\1\1\1\1."s})
    EXPECT_TRUE(refusal(program).starts_with("[f at 2, ")) << refusal(program);
  EXPECT_NE(refusal("c" + std::string(5000, 'x') + "\ny\n.").find("a name of at most 1000 bytes"), std::string::npos);
}

TEST(Unpickle, AValueInsideItselfAndTooManyLevelsAreRefused) {
  EXPECT_NE(refusal("]q\0h\0a."s).find("none inside itself"), std::string::npos) << refusal("]q\0h\0a."s);
  EXPECT_NE(refusal("}q\0X\1\0\0\0kh\0s."s).find("none inside itself"), std::string::npos);
  EXPECT_NE(refusal(std::string(100'000, ']') + std::string(99'999, 'a') + ".").find("at most 100 levels"), std::string::npos);
  EXPECT_NO_THROW(read(std::string(100, ']') + std::string(99, 'a') + "."));
}

TEST(Unpickle, AMemoBombIsRefused) {
  // Each list holds the one before ten times: 10^30 values once every one is written out.
  std::string lists = "(]q\0"s, texts = "(X\xff\xff\0\0"s + std::string(65535, 'x') + "q\0"s;
  for (char i = 1; i <= 30; ++i) {
    lists += "](";
    for (int j = 0; j < 10; ++j) lists += "h"s + static_cast<char>(i - 1);
    lists += "eq"s + i;
  }
  EXPECT_NE(refusal(lists + "t.").find("expected at most 256 MiB of values"), std::string::npos) << refusal(lists + "t.");
  for (int i = 0; i < 10'000; ++i) texts += "h\0"s;
  EXPECT_NE(refusal(texts + "t.").find("256 MiB"), std::string::npos) << refusal(texts + "t.");
}

TEST(Unpickle, AKeyTwiceOrOneThatCannotBeAKeyIsRefused) {
  EXPECT_NE(refusal("}(X\1\0\0\0aNX\1\0\0\0aNu."s).find("a] expected each key of a dictionary once, got it twice"), std::string::npos);
  for (const char* key : {"]", "}", "\x8f"}) EXPECT_NE(refusal("}"s + key + "Ns.").find("expected a key that is text"), std::string::npos);
}

TEST(Unpickle, OtherProtocolsAndOpcodesAreRefused) {
  EXPECT_NE(message_of<FormatError>([] { (void)unpickle(as_bytes("\x80\x01N."), 0, "f"); }).find("expected protocol 2 to 5, got 1"),
            std::string::npos);
  EXPECT_NE(message_of<FormatError>([] { (void)unpickle(as_bytes("(dp0\n."), 0, "f"); }).find("expected protocol 2 or newer"), std::string::npos);
  for (const char opcode : "0 1 2 I L S V P F p g i o d l \x82 \x8b \x92 \x97 \x98"s) {
    if (opcode == ' ' || opcode == '\0') continue;
    EXPECT_NE(refusal(std::string(1, opcode) + "N.").find("expected an opcode for plain values and tensors, got 0x"), std::string::npos) << opcode;
  }
  EXPECT_NE(refusal("X\1\0\0\0\xff."s).find("expected UTF-8, got \\xFF"), std::string::npos) << refusal("X\1\0\0\0\xff."s);
}

}  // namespace
}  // namespace everlong::io
