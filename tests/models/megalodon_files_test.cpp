// Folders of the release, made from a golden case.

#include <fstream>

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "everlong/checkpoint/torch_tensors.h"
#include "everlong/models/model_directory.h"
#include "everlong/tensor/torch.h"
#include "tests/support/files.h"
#include "tests/support/torch/models.h"

namespace everlong::testing {
namespace {

std::filesystem::path golden(const std::string& name) { return source_path("tests/golden/megalodon/" + name); }

at::Tensor logits_of(const std::filesystem::path& folder) {
  const at::NoGradGuard no_grad;
  const auto loaded = models::load_causal_lm(folder);
  return loaded.model->forward({.tokens = at::arange(40, at::kLong).view({2, 20}).remainder(61)}).logits;
}

void write_text(const std::filesystem::path& path, const std::string& text) { std::ofstream(path) << text; }

std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The settings of a run, as they stand beside consolidated weights.
void write_run_config(const std::filesystem::path& folder, const std::string& name) {
  write_text(folder / "config.json",
             "{\"model\": " + text_of(golden(name) / "config.json") + ", \"tokenizer\": {\"path\": \"t.model\"}, \"dump_dir\": \"\"}");
}

/// Rank `rank` of two, written down a second time: features are split, projections by their outputs or inputs.
at::Tensor part_of(const std::string& name, const at::Tensor& whole, int64_t rank) {
  const auto ends = [&](const char* end) { return name.ends_with(end); };
  if (ends("rmsnorm.weight") || ends("nffn.norm.weight") || ends("nffn.norm.bias") || ends("nffn.alpha") || ends("rope.freqs") || ends("prior_count"))
    return whole;
  const bool second =
      ends("embed.weight") || ends("output.output.weight") || ends("wh2.weight") || ends("fc2.weight") || ends("mega.gamma") || ends("mega.beta");
  return whole.chunk(2, second ? 1 : 0)[static_cast<size_t>(rank)].clone();
}

void write_parts(const std::filesystem::path& folder, const checkpoint::TensorMap& whole, const std::string& without = {}) {
  for (int64_t rank = 0; rank < 2; ++rank) {
    checkpoint::TensorMap part;
    for (const auto& [name, tensor] : whole)
      if (rank == 0 || name != without) part.emplace(name, part_of(name, tensor, rank));
    checkpoint::save_torch_tensors(folder / (rank == 0 ? "consolidated.00.pth" : "consolidated.01.pth"), part);
  }
}

TEST(MegalodonFiles, AConsolidatedFolderWithTheSettingsOfARunIsRead) {
  for (const std::string name : {"base", "tied_scaled"}) {
    const TemporaryFolder folder;
    write_run_config(folder.path(), name);
    checkpoint::save_torch_tensors(folder / "consolidated.pth", checkpoint::load_weights(golden(name)).tensors);
    EXPECT_TRUE(at::equal(logits_of(folder.path()), logits_of(golden(name)))) << name;
  }
}

TEST(MegalodonFiles, PartsOfASplitModelAreJoined) {
  const TemporaryFolder folder;
  write_run_config(folder.path(), "base");
  write_parts(folder.path(), checkpoint::load_weights(golden("base")).tensors);
  EXPECT_TRUE(at::equal(logits_of(folder.path()), logits_of(golden("base"))));
}

TEST(MegalodonFiles, PartsThatDoNotFitAreRefusedByName) {
  const auto whole = checkpoint::load_weights(golden("base")).tensors;
  const auto message = [&](const checkpoint::TensorMap& tensors, const std::string& without) {
    const TemporaryFolder folder;
    write_run_config(folder.path(), "base");
    write_parts(folder.path(), tensors, without);
    if (without.empty()) {
      checkpoint::TensorMap second = checkpoint::load_tensors(folder / "consolidated.01.pth").tensors;
      second["layers.0.nffn.alpha"] = second["layers.0.nffn.alpha"] + 1;
      checkpoint::save_torch_tensors(folder / "consolidated.01.pth", second);
    }
    try {
      static_cast<void>(models::load_causal_lm(folder.path()));
    } catch (const FormatError& error) {
      return std::string(error.what());
    }
    return std::string("read");
  };
  EXPECT_NE(message(whole, "layers.1.mega.wz.bias").find("consolidated.01.pth"), std::string::npos);
  EXPECT_NE(message(whole, "layers.1.mega.wz.bias").find("layers.1.mega.wz.bias"), std::string::npos);
  EXPECT_NE(message(whole, "").find("the same values as in the first part"), std::string::npos);
}

TEST(MegalodonFiles, PartsThatNobodyKnowsHowToJoinAndMissingPartsAreRefused) {
  const auto message = [](const std::function<void(const TemporaryFolder&, checkpoint::TensorMap&)>& change) {
    const TemporaryFolder folder;
    write_run_config(folder.path(), "base");
    checkpoint::TensorMap whole = checkpoint::load_weights(golden("base")).tensors;
    change(folder, whole);
    write_parts(folder.path(), whole);
    try {
      static_cast<void>(models::load_causal_lm(folder.path()));
    } catch (const FormatError& error) {
      return std::string(error.what());
    }
    return std::string("read");
  };
  const auto stranger = [](const TemporaryFolder&, checkpoint::TensorMap& tensors) { tensors["layers.0.mega.stranger"] = at::ones({4}); };
  const auto size_of = [](const std::string& size) {
    return [size](const TemporaryFolder& folder, checkpoint::TensorMap&) {
      write_text(folder / "consolidate_config.json", "{\"model_parallel_size\": " + size + ", \"dtype\": \"fp32\"}");
    };
  };
  EXPECT_NE(message(stranger).find("layers.0.mega.stranger"), std::string::npos);
  EXPECT_NE(message(size_of("4")).find("expected 4 files"), std::string::npos);
  EXPECT_EQ(message(size_of("2")), "read");
}

models::LoadedModel loaded_with(const std::string& name, const at::Tensor& tensor, const std::string& more_config = {}) {
  const TemporaryFolder folder;
  std::string config = text_of(golden("base") / "config.json");
  config.insert(config.find('{') + 1, more_config);
  write_text(folder / "config.json", config);
  auto tensors = checkpoint::load_weights(golden("base")).tensors;
  tensors[name] = tensor;
  checkpoint::save_tensors(folder / "model.safetensors", tensors);
  return models::load_causal_lm(folder.path());
}

TEST(MegalodonFiles, APriorWithACountIsRefused) {
  EXPECT_THROW(static_cast<void>(loaded_with("layers.1.mega.timenorm.prior_count", at::scalar_tensor(3, at::kLong))), Unsupported);
}

TEST(MegalodonFiles, RoundedRotaryFrequenciesAreReplacedAndSaidSo) {
  const at::Tensor exact = checkpoint::load_weights(golden("base")).tensors.at("rope.freqs");
  EXPECT_TRUE(loaded_with("rope.freqs", exact).notes.empty());
  const auto loaded = loaded_with("rope.freqs", exact * 1.003);
  ASSERT_EQ(loaded.notes.size(), 1u);
  EXPECT_NE(loaded.notes.front().find("rope_freqs = from_file"), std::string::npos);
  EXPECT_TRUE(at::equal(loaded.model->named_buffers()["model.rope_frequencies"], exact));
}

TEST(MegalodonFiles, RotaryFrequenciesOfTheFileAreUsedWhereAskedFor) {
  const at::NoGradGuard no_grad;
  const at::Tensor rounded = checkpoint::load_weights(golden("base")).tensors.at("rope.freqs").to(at::kBFloat16).to(at::kFloat);
  const auto exact = loaded_with("rope.freqs", rounded), own = loaded_with("rope.freqs", rounded, "\"rope_freqs\": \"from_file\", ");
  EXPECT_TRUE(own.notes.empty());
  EXPECT_TRUE(at::equal(own.model->named_buffers()["model.rope_frequencies"], rounded));
  const at::Tensor tokens = at::arange(40, at::kLong).view({2, 20}).remainder(61);
  EXPECT_FALSE(at::allclose(own.model->forward({.tokens = tokens}).logits, exact.model->forward({.tokens = tokens}).logits, 0, 1e-7));
}

TEST(MegalodonFiles, ASavedModelHasEveryTensorOfTheRelease) {
  const TemporaryFolder folder;
  const auto loaded = models::load_causal_lm(golden("base"));
  models::save_model(folder.path(), *loaded.model, loaded.document);
  const auto theirs = checkpoint::load_weights(golden("base")).tensors, ours = checkpoint::load_weights(folder.path()).tensors;
  ASSERT_EQ(ours.size(), theirs.size());
  for (const auto& [name, tensor] : theirs) {
    ASSERT_TRUE(ours.contains(name)) << name;
    EXPECT_TRUE(ours.at(name).scalar_type() == tensor.scalar_type() && at::equal(ours.at(name), tensor)) << name;
  }
}

}  // namespace
}  // namespace everlong::testing
