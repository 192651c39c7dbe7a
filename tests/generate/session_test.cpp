#include "everlong/generate/session.h"

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "everlong/tensor/torch.h"
#include "everlong/text/utf8.h"
#include "tests/support/files.h"
#include "tests/support/torch/models.h"

namespace everlong::generate {
namespace {

constexpr double kFavour = 60;  // added to the scores of the bytes that may come: nothing else is ever drawn

/// A random model over bytes that emits only those of `alphabet`.
std::shared_ptr<models::CausalLm> model_of(std::string_view alphabet) {
  auto config = models::find_architecture("mega").tiny_config();
  config->set_vocabulary(text::make_bytes_tokenizer()->vocab_size());
  auto model = testing::tiny_model(*config);
  const at::NoGradGuard no_grad;
  at::Tensor bias = model->named_parameters()["head.output.bias"];
  for (const char byte : alphabet) bias[static_cast<unsigned char>(byte)] += kFavour;
  return model;
}

Session session_of(std::string_view alphabet, std::string_view prompt = "once upon a time") {
  Session session(model_of(alphabet), text::make_bytes_tokenizer());
  session.read(prompt);
  return session;
}

/// Bytes, and a template that puts byte 1 before each text.
class BytesWithBos final : public text::Tokenizer {
 public:
  static constexpr int32_t kBos = 1;

  [[nodiscard]] int32_t vocab_size() const override { return bytes_->vocab_size(); }
  [[nodiscard]] std::string_view token_bytes(int32_t id) const override { return bytes_->token_bytes(id); }
  [[nodiscard]] std::optional<int32_t> token_id(std::string_view spelling) const override { return bytes_->token_id(spelling); }
  [[nodiscard]] text::SpecialIds special_ids() const override { return {.bos = kBos}; }
  [[nodiscard]] std::string_view kind() const override { return "bytes"; }
  [[nodiscard]] std::string fingerprint() const override { return bytes_->fingerprint() + " with bos"; }
  void save(const std::filesystem::path& folder) const override { bytes_->save(folder); }

 protected:
  void append_encoding(std::string_view text, const text::EncodeOptions& options, std::vector<int32_t>& ids) const override {
    if (options.add_special) ids.push_back(kBos);
    bytes_->encode_into(text, ids, options);
  }

 private:
  std::unique_ptr<text::Tokenizer> bytes_ = text::make_bytes_tokenizer();
};

constexpr std::string_view kLetters = "abcdefgh";

GenerateOptions options(int64_t max_tokens = 40) { return {.max_tokens = max_tokens, .seed = 5}; }

std::string text_of(Session& session) { return session.generate(options()).text; }

TEST(Session, ReadingInPiecesIsReadingAtOnce) {
  Session whole = session_of(kLetters, "the quick brown fox jumps");
  for (const int64_t segment : {1, 3, 8, 100}) {
    Session pieces(model_of(kLetters), text::make_bytes_tokenizer());
    for (const char* part : {"the q", "", "uick brown fox ", "j", "umps"}) pieces.read(part, segment);
    EXPECT_EQ(pieces.position(), 25);
    Session copy = whole.fork();
    EXPECT_EQ(text_of(pieces), text_of(copy)) << segment;
  }
  Session other = session_of(kLetters, "the quick brown fox jumpt");
  EXPECT_NE(text_of(other), text_of(whole));
}

TEST(Session, OnlyTheFirstTextOfAConversationGetsTheTokenizersBos) {
  const testing::TemporaryFolder folder;
  const auto tokenizer = std::make_shared<BytesWithBos>();
  Session pieces(model_of(kLetters), tokenizer), whole(model_of(kLetters), tokenizer);
  whole.read("\x01once upon a time"), whole.read("");
  EXPECT_EQ(whole.position(), 18);  // the text's own byte 1 is no template's
  pieces.read("\x01once"), pieces.save(folder / "state");
  Session loaded(model_of(kLetters), tokenizer);
  loaded.load(folder / "state");
  Session fork = loaded.fork();
  for (Session* session : {&pieces, &loaded, &fork}) {
    session->read(" upon a"), session->read(" time");
    Session copy = whole.fork();
    EXPECT_EQ(session->position(), 18);
    EXPECT_EQ(text_of(*session), text_of(copy));
  }
}

TEST(Session, AForkGoesItsOwnWay) {
  Session original = session_of(kLetters), fork = original.fork(), untouched = original.fork();
  EXPECT_EQ(fork.position(), original.position());
  fork.read("something else entirely");
  const std::string from_fork = text_of(fork);
  EXPECT_EQ(text_of(original), text_of(untouched));
  EXPECT_NE(from_fork, text_of(untouched));
}

TEST(Session, WhatIsGeneratedCountsAsRead) {
  Session session = session_of(kLetters);
  const auto first = session.generate(options(10));
  ASSERT_EQ(first.tokens.size(), 10u);
  EXPECT_EQ(first.reason, StopReason::length);
  EXPECT_EQ(session.position(), 26);
  Session given = session_of(kLetters, "once upon a time" + first.text);
  EXPECT_EQ(text_of(session), text_of(given));
}

TEST(Session, ContinuesFromAFileAsIfNothingHadHappened) {
  const testing::TemporaryFolder folder;
  Session session = session_of(kLetters);
  session.save(folder / "state");
  Session loaded(model_of(kLetters), text::make_bytes_tokenizer());
  loaded.load(folder / "state");
  EXPECT_EQ(loaded.position(), session.position());
  EXPECT_EQ(loaded.state_bytes(), session.state_bytes());
  EXPECT_EQ(text_of(loaded), text_of(session));
}

TEST(Session, AnEmptyStateIsSavedAndLoadedAndStillNeedsAPrompt) {
  const testing::TemporaryFolder folder;
  const Session fresh(model_of(kLetters), text::make_bytes_tokenizer());
  fresh.save(folder / "state");
  Session loaded = session_of(kLetters);
  loaded.load(folder / "state");
  EXPECT_EQ(loaded.position(), 0);
  EXPECT_THROW(static_cast<void>(loaded.generate(options())), InvalidArgument);
}

TEST(Session, StatesOfOtherModelsAndOtherFilesAreRefused) {
  const testing::TemporaryFolder folder;
  auto config = models::find_architecture("mega").tiny_config();
  config->set_vocabulary(text::make_bytes_tokenizer()->vocab_size());
  config->fields().set("nffn_hidden_size", int64_t{30});
  Session other(testing::tiny_model(*config), text::make_bytes_tokenizer());
  other.save(folder / "other");
  Session session = session_of(kLetters);
  EXPECT_THROW(session.load(folder / "other"), StateError);
  EXPECT_THROW(session.load(folder / "missing"), IoError);
  testing::write_text(folder / "broken", "no safetensors");
  EXPECT_THROW(session.load(folder / "broken"), FormatError);
  EXPECT_EQ(session.position(), 16);  // a refused file changes nothing
}

TEST(Session, AStopTextThatSpansTokensEndsTheContinuationAndIsNotPartOfIt) {
  Session session = session_of(kLetters);
  Session probe = session.fork();
  const std::string all = text_of(probe);
  ASSERT_EQ(all.size(), 40u);
  for (const size_t begin : {0, 1, 10, 36}) {
    const std::string stop = all.substr(begin, 4);
    const std::string expected = all.substr(0, all.find(stop));
    std::string streamed;
    GenerateOptions stopping = options();
    stopping.stop = {"never this", stop, "abcdefgz"};
    stopping.on_text = [&](std::string_view piece) {
      streamed += piece;
      return true;
    };
    Session again = session.fork();
    const auto result = again.generate(stopping);
    EXPECT_EQ(result.text, expected) << stop;
    EXPECT_EQ(streamed, expected) << stop;
    EXPECT_EQ(result.reason, StopReason::stop_text);
    EXPECT_EQ(result.tokens.size(), expected.size() + 4);
  }
}

TEST(Session, TheEarliestOfSeveralStopTextsWins) {
  Session session = session_of(kLetters);
  Session probe = session.fork();
  const std::string all = text_of(probe);
  GenerateOptions stopping = options();
  stopping.stop = {all.substr(21, 3), all.substr(20, 3), ""};
  const size_t first = std::min(all.find(stopping.stop[0]), all.find(stopping.stop[1]));
  EXPECT_EQ(session.generate(stopping).text, all.substr(0, first));
}

TEST(Session, TheBeginningOfAStopTextThatDoesNotComeIsShownAtTheEnd) {
  Session session = session_of(kLetters);
  Session probe = session.fork();
  const std::string all = text_of(probe);
  GenerateOptions stopping = options();
  stopping.stop = {all.substr(all.size() - 3) + "zz"};
  const auto result = session.generate(stopping);
  EXPECT_EQ(result.text, all);
  EXPECT_EQ(result.reason, StopReason::length);
}

TEST(Session, TextArrivesInWholeCharacters) {
  Session session = session_of("\xc3\xa9\xe2\x82\xac", "\xc3");  // the bytes of two characters in any order
  std::string streamed;
  GenerateOptions watched = options(200);
  watched.on_text = [&](std::string_view piece) {
    EXPECT_FALSE(piece.empty());
    EXPECT_TRUE(text::is_utf8(piece));
    streamed += piece;
    return true;
  };
  const auto result = session.generate(watched);
  EXPECT_EQ(result.tokens.size(), 200u);
  EXPECT_EQ(streamed, result.text);
  EXPECT_NE(result.text.find("\xc3\xa9"), std::string::npos);      // a real character came
  EXPECT_NE(result.text.find("\xef\xbf\xbd"), std::string::npos);  // and bytes that are none
}

TEST(Session, TheCallbackEndsTheContinuation) {
  Session session = session_of(kLetters);
  GenerateOptions impatient = options();
  int pieces = 0;
  impatient.on_text = [&](std::string_view) { return ++pieces < 3; };
  const auto result = session.generate(impatient);
  EXPECT_EQ(result.reason, StopReason::callback);
  EXPECT_EQ(result.text.size(), 3u);
  EXPECT_EQ(session.position(), 19);
}

TEST(Session, TheSeedDecidesAndTemperatureZeroNeedsNone) {
  Session session = session_of(kLetters);
  const auto with = [&](uint64_t seed, double temperature) {
    Session copy = session.fork();
    return copy.generate({.max_tokens = 30, .sampling = {.temperature = temperature}, .seed = seed}).text;
  };
  EXPECT_EQ(with(1, 1.0), with(1, 1.0));
  EXPECT_NE(with(1, 1.0), with(2, 1.0));
  EXPECT_EQ(with(1, 0.0), with(2, 0.0));
}

TEST(Session, AskingTheImpossibleIsRefused) {
  Session empty(model_of(kLetters), text::make_bytes_tokenizer());
  EXPECT_THROW(static_cast<void>(empty.generate(options())), InvalidArgument);
  Session session = session_of(kLetters);
  EXPECT_THROW(session.read("x", 0), InvalidArgument);
  EXPECT_THROW(static_cast<void>(session.generate({.sampling = {.top_p = 2}})), InvalidArgument);
  auto encoder = models::find_architecture("mega").tiny_config();
  encoder->set_vocabulary(text::make_bytes_tokenizer()->vocab_size());
  encoder->fields().set("is_decoder", false);
  encoder->fields().set("bidirectional", true);
  EXPECT_THROW(Session(testing::tiny_model(*encoder), text::make_bytes_tokenizer()), Unsupported);
}

TEST(Session, ItsMemoryDoesNotGrowWithWhatItReads) {
  Session session = session_of(kLetters);
  const int64_t before = session.state_bytes();
  session.read(std::string(1000, 'a'));
  EXPECT_EQ(session.state_bytes(), before);
}

}  // namespace
}  // namespace everlong::generate
