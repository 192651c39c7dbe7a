#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "everlong/checkpoint/config_document.h"
#include "everlong/checkpoint/load_module.h"
#include "everlong/checkpoint/name_table.h"
#include "everlong/checkpoint/tensor_file.h"
#include "everlong/io/safetensors.h"
#include "everlong/tensor/torch.h"
#include "tests/support/files.h"

namespace everlong::checkpoint {
namespace {

using testing::TemporaryFolder;

const std::vector<NameRule> kRules = {
    {"layers.*.up.weight", "net.block*.fc1.w"}, {"scale", "net.scale", true}, {"", "net.block*.old_counter"}, {"embedding", "net.embedding"}};

TEST(NameTable, TranslatesBothWays) {
  EXPECT_EQ(to_public_name(kRules, "layers.12.up.weight"), "net.block12.fc1.w");
  EXPECT_EQ(to_own_name(kRules, "net.block12.fc1.w"), "layers.12.up.weight");
  EXPECT_EQ(to_public_name(kRules, "embedding"), "net.embedding");
  EXPECT_EQ(to_own_name(kRules, "net.embedding"), "embedding");
}

TEST(NameTable, TheStarStandsForDigitsOnly) {
  for (const char* name :
       {"layers..up.weight", "layers.x.up.weight", "layers.1.2.up.weight", "layers.-1.up.weight", "layers.1.up.weights", "xlayers.1.up.weight"})
    EXPECT_EQ(to_public_name(kRules, name), std::nullopt) << name;
}

TEST(NameTable, AKnownNameWithoutMeaningIsEmptyAndAnUnknownOneIsNone) {
  EXPECT_EQ(to_own_name(kRules, "net.block3.old_counter"), "");
  EXPECT_EQ(to_own_name(kRules, "net.unknown"), std::nullopt);
  EXPECT_EQ(rule_for(kRules, "unknown"), nullptr);
  EXPECT_TRUE(rule_for(kRules, "scale")->trailing_one);
}

struct Up : torch::nn::Module {
  Up() { register_parameter("weight", at::zeros({2, 3})); }
};
struct Layer : torch::nn::Module {
  Layer() { register_module("up", std::make_shared<Up>()); }
};
struct Layers : torch::nn::Module {
  Layers() { register_module("0", std::make_shared<Layer>()); }
};
struct Small : torch::nn::Module {
  Small() {
    register_module("layers", std::make_shared<Layers>());
    register_parameter("scale", at::zeros({4}));
    register_buffer("embedding", at::zeros({5, 2}));
  }
};

TensorMap public_file() {
  return {{"net.block0.fc1.w", at::ones({2, 3}, at::kBFloat16)},
          {"net.scale", at::ones({4, 1})},
          {"net.embedding", at::full({5, 2}, 2.0, at::kDouble)},
          {"net.block7.old_counter", at::zeros({})},
          {"something.else", at::zeros({3})}};
}

TEST(LoadInto, FillsParametersAndBuffersAndSaysWhatBecameOfEachTensor) {
  Small module;
  const auto report = load_into(module, public_file(), kRules, "net.", "f");
  EXPECT_EQ(report.loaded, (std::vector<std::string>{"net.block0.fc1.w", "net.embedding", "net.scale"}));
  EXPECT_EQ(report.ignored, std::vector<std::string>{"net.block7.old_counter"});
  EXPECT_EQ(report.unexpected, std::vector<std::string>{"something.else"});
  EXPECT_TRUE(report.missing.empty());
  const auto own = own_tensors(module);
  EXPECT_TRUE(at::equal(own.at("layers.0.up.weight"), at::ones({2, 3})));
  EXPECT_EQ(own.at("embedding").scalar_type(), at::kFloat);
  EXPECT_TRUE(at::equal(own.at("embedding"), at::full({5, 2}, 2.0)));
  const auto back = public_tensors(module, kRules);
  EXPECT_EQ(back.at("net.scale").sizes(), (at::IntArrayRef{4, 1}));
  EXPECT_EQ(back.size(), 3u);
}

TEST(LoadInto, ThePrefixMayBeLeftOut) {
  Small module;
  const auto report = load_into(module, {{"scale", at::ones({4})}}, kRules, "net.", "f");
  EXPECT_EQ(report.loaded, std::vector<std::string>{"scale"});
  EXPECT_EQ(report.missing, (std::vector<std::string>{"embedding", "layers.0.up.weight"}));
}

TEST(LoadInto, AnotherShapeIsRefusedWithBothAndNothingIsCopied) {
  Small module;
  auto file = public_file();
  file["net.scale"] = at::ones({5, 1});
  try {
    static_cast<void>(load_into(module, file, kRules, "net.", "weights.safetensors"));
    FAIL() << "a tensor of another shape was loaded";
  } catch (const FormatError& error) {
    for (const char* part : {"weights.safetensors", "net.scale", "[4]", "[5, 1]"})
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
  for (const auto& item : own_tensors(module)) EXPECT_FALSE(item.second.any().item<bool>()) << item.first;
}

TEST(LoadInto, ATensorWithTheSameNumberOfElementsInAnotherShapeIsRefused) {
  Small module;
  EXPECT_THROW(load_into(module, {{"net.block0.fc1.w", at::ones({3, 2})}}, kRules, "net.", "f"), FormatError);
  EXPECT_THROW(load_into(module, {{"net.embedding", at::ones({5, 2, 1})}}, kRules, "net.", "f"), FormatError);
}

TEST(LoadInto, AModuleTensorWithoutARuleCannotBeWritten) {
  Small module;
  EXPECT_THROW(static_cast<void>(public_tensors(module, {kRules[0]})), InvalidArgument);
}

TEST(TensorFile, EveryDtypeSurvivesBitForBit) {
  const TemporaryFolder folder;
  TensorMap tensors;
  at::manual_seed(1);
  for (const auto dtype : {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16}) tensors.emplace(c10::toString(dtype), at::randn({3, 2}).to(dtype));
  for (const auto dtype : {at::kLong, at::kInt, at::kShort, at::kChar}) tensors.emplace(c10::toString(dtype), at::randint(-100, 100, {5}).to(dtype));
  for (const auto dtype : {at::kByte, at::kUInt16, at::kUInt32, at::kUInt64})
    tensors.emplace(c10::toString(dtype), at::randint(0, 100, {2, 1, 2}).to(dtype));
  tensors.emplace("Bool", at::randint(0, 2, {7}).to(at::kBool));
  tensors.emplace("a scalar", at::scalar_tensor(2.5));
  tensors.emplace("nothing", at::empty({0, 4}));
  save_tensors(folder / "f", tensors, {{"who", "test"}});
  const auto loaded = load_tensors(folder / "f");
  EXPECT_EQ(loaded.metadata, (Metadata{{"who", "test"}}));
  ASSERT_EQ(loaded.tensors.size(), tensors.size());
  for (const auto& [name, tensor] : tensors) {
    const at::Tensor& other = loaded.tensors.at(name);
    EXPECT_EQ(other.scalar_type(), tensor.scalar_type()) << name;
    EXPECT_EQ(other.sizes(), tensor.sizes()) << name;
    const std::string_view a(static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes()),
        b(static_cast<const char*>(other.const_data_ptr()), other.nbytes());
    EXPECT_EQ(a, b) << name;
  }
}

TEST(TensorFile, AViewIsWrittenAsItReads) {
  const TemporaryFolder folder;
  const at::Tensor view = at::arange(12, at::kFloat).view({3, 4}).t().narrow(0, 1, 2);
  save_tensors(folder / "f", {{"x", view}});
  EXPECT_TRUE(at::equal(load_tensors(folder / "f").tensors.at("x"), view));
}

TEST(TensorFile, AComplexTensorHasNoNameInTheFormat) {
  const TemporaryFolder folder;
  EXPECT_THROW(save_tensors(folder / "f", {{"z", at::zeros({2}, at::kComplexFloat)}}), InvalidArgument);
  EXPECT_FALSE(std::filesystem::exists(folder / "f"));
}

TEST(TensorFile, EightBitFloatsAreUnsupportedAndSaySo) {
  const TemporaryFolder folder;
  const std::vector<std::byte> bytes(4);
  io::write_safetensors(folder / "f", {{.name = "w", .dtype = io::Dtype::F8_E4M3, .shape = {4}, .bytes = bytes}}, {});
  try {
    static_cast<void>(load_tensors(folder / "f"));
    FAIL() << "F8 was loaded";
  } catch (const Unsupported& error) {
    EXPECT_NE(std::string(error.what()).find("BF16"), std::string::npos) << error.what();
  }
}

TEST(TensorFile, WeightsThatAreNotThereAreAnIoError) {
  const TemporaryFolder folder;
  EXPECT_THROW(static_cast<void>(load_weights(folder.path())), IoError);
  EXPECT_THROW(static_cast<void>(load_tensors(folder / "none")), IoError);
  testing::write_text(folder / "model.safetensors", "\x05");
  EXPECT_THROW(static_cast<void>(load_weights(folder.path())), FormatError);
}

TEST(ConfigDocument, KeepsWhatItDoesNotKnow) {
  const TemporaryFolder folder;
  testing::write_text(folder / "config.json", R"({"model_type": "toy", "width": 3, "colour": {"of": ["the", 7]}, "pad_token_id": null})");
  const auto document = ConfigDocument::read(folder / "config.json");
  EXPECT_EQ(document.model_type(), "toy");
  int64_t width = 1, pad = 5;
  Fields fields;
  fields.add("width", width, "width").add("pad_token_id", pad, "padding", {.min = -1});
  const auto unknown = document.apply(fields);
  EXPECT_EQ(width, 3);
  EXPECT_EQ(pad, -1);
  EXPECT_NE(std::find(unknown.begin(), unknown.end(), "colour"), unknown.end());
  document.write(folder / "again.json", fields, "toy", "ToyModel");
  EXPECT_EQ(ConfigDocument::read(folder / "again.json").keys(),
            (std::set<std::string, std::less<>>{"architectures", "colour", "model_type", "pad_token_id", "width"}));
  for (const char* broken : {"[]", "{}", R"({"model_type": 5})", "{"}) {
    testing::write_text(folder / "broken.json", broken);
    EXPECT_THROW(static_cast<void>(ConfigDocument::read(folder / "broken.json")), FormatError) << broken;
  }
}

}  // namespace
}  // namespace everlong::checkpoint
