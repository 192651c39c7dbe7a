#include "apps/everlong/command.h"

#include <set>

#include <gtest/gtest.h>

#include "apps/everlong/completion.h"
#include "apps/everlong/help.h"
#include "apps/everlong/machine.h"
#include "apps/everlong/man_page.h"
#include "apps/everlong/suggest.h"

namespace everlong::app {
namespace {

TEST(Command, EveryArgumentIsDocumentedInOneSentenceWithoutAFullStop) {
  for_each_verb(Command().description(), [](const VerbDescription& verb) {
    EXPECT_FALSE(verb.summary.empty()) << verb.command();
    for (const auto* arguments : {&verb.options, &verb.positionals}) {
      for (const ArgumentDescription& argument : *arguments) {
        ASSERT_FALSE(argument.doc.empty()) << verb.command() << " " << heading(argument);
        EXPECT_NE(argument.doc.back(), '.') << verb.command() << " " << heading(argument);
      }
    }
  });
}

TEST(Command, EveryOptionOfEveryVerbIsInTheManualAndInAllCompletions) {
  const VerbDescription program = Command().description();
  std::string manual = man_page(program);
  for (size_t at; (at = manual.find("\\-")) != std::string::npos;) manual.replace(at, 2, "-");
  const std::string bash = bash_completion(program), zsh = zsh_completion(program), fish = fish_completion(program);
  int options = 0;
  for_each_verb(program, [&](const VerbDescription& verb) {
    for (const ArgumentDescription& option : verb.options) {
      const std::string& name = option.names.back();
      EXPECT_NE(manual.find(name), std::string::npos) << name;
      EXPECT_NE(bash.find(name), std::string::npos) << name;
      EXPECT_NE(zsh.find(name + "["), std::string::npos) << name;
      EXPECT_NE(fish.find("-l " + name.substr(2) + " "), std::string::npos) << name;
      ++options;
    }
  });
  EXPECT_GT(options, 50);
}

TEST(Command, NoLineOfAnyHelpIsWiderThanAsked) {
  const VerbDescription program = Command().description();
  for_each_verb(program, [&](const VerbDescription& verb) {
    const std::string text = help_text(verb, program.options, 100);
    for (size_t begin = 0; begin < text.size(); begin = text.find('\n', begin) + 1) {
      const std::string line = text.substr(begin, text.find('\n', begin) - begin);
      EXPECT_LE(line.size(), 100u) << line;
    }
  });
}

TEST(Suggest, SlipsOfTheFingerAreRecognised) {
  const std::vector<std::string> known{"train", "eval", "generate", "--json", "--temperature", "-o"};
  EXPECT_EQ(nearest("trian", known), "train");
  EXPECT_EQ(nearest("evl", known), "eval");
  EXPECT_EQ(nearest("gen", known), "generate");
  EXPECT_EQ(nearest("--jsno", known), "--json");
  EXPECT_EQ(nearest("--temprature", known), "--temperature");
}

TEST(Suggest, WordsThatAreFarFromEverythingGetNoSuggestion) {
  const std::vector<std::string> known{"train", "eval"};
  EXPECT_EQ(nearest("xyzzy", known), "");
  EXPECT_EQ(nearest("", known), "");
  EXPECT_EQ(nearest("--", known), "");
  EXPECT_EQ(nearest(std::string(1 << 20, 'e'), known), "");
}

TEST(Machine, FlagsAreWholeWordsOfTheFlagsLine) {
  const std::string cpuinfo = "model name : flags avx\nflags\t\t: sse4_2 avx2 fma\nflags : avx512f\n";
  EXPECT_EQ(processor_flags(cpuinfo, {"avx", "avx2", "fma", "avx512f"}), (std::vector<std::string>{"avx2", "fma"}));
  EXPECT_TRUE(processor_flags("", {"avx"}).empty());
  EXPECT_TRUE(processor_flags("flags", {"avx"}).empty());
}

TEST(Help, WrappedTextKeepsEveryWord) {
  EXPECT_EQ(wrapped("one two three", 7, 2), "one two\n  three");
  EXPECT_EQ(wrapped("", 10, 2), "");
  EXPECT_EQ(wrapped("unbreakable", 4, 2), "unbreakable");
}

}  // namespace
}  // namespace everlong::app
