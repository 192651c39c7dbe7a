#include "apps/everlong/command.h"

#include <cstdio>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "apps/everlong/compute/loader.h"
#include "apps/everlong/guard.h"
#include "apps/everlong/help.h"
#include "apps/everlong/output.h"
#include "apps/everlong/terminal.h"
#include "apps/everlong/usage_error.h"
#include "apps/everlong/verbs/doctor.h"
#include "apps/everlong/verbs/inspect.h"
#include "apps/everlong/verbs/manual.h"
#include "apps/everlong/verbs/plot.h"
#include "apps/everlong/verbs/tokenize.h"
#include "everlong/base/log.h"
#include "everlong/base/version.h"

namespace everlong::app {
namespace {

constexpr const char* kSummary = "sequence models whose context never ends";

std::vector<ArgumentDescription> without_help(std::vector<ArgumentDescription> options) {
  std::erase_if(options, [](const auto& option) { return option.names.back() == "--help" || option.names.back() == "--version"; });
  return options;
}

}  // namespace

struct Command::Parts {
  CLI::App app{kSummary, "everlong"};
  GlobalOptions globals;
  TrainOptions train;
  EvalOptions eval;
  FillMaskOptions fill_mask;
  PredictOptions predict;
  EmbedOptions embed;
  GenerateOptions generate;
  TokenizeOptions tokenize;
  DataOptions data;
  InspectOptions inspect;
  StateOptions state;
  ConvertOptions convert;
  VerifyOptions verify;
  BenchOptions bench;
  PlotOptions plot;
  DoctorOptions doctor;
  CompletionOptions completion;
  std::function<int()> chosen;

  void add(Syntax verb, std::function<int()> run) {
    verb.on_chosen([this, run = std::move(run)] { chosen = run; });
  }
};

Command::Command() : parts_(std::make_unique<Parts>()) { declare(); }
Command::~Command() = default;

VerbDescription Command::description() const { return describe(parts_->app); }

void Command::declare() {
  Parts& p = *parts_;
  p.app.fallthrough();
  p.app.set_help_flag("-h,--help", "Print this help");
  p.app.set_version_flag("--version", fmt::format("everlong {}", kVersion), "Print the version");
  p.app.formatter_fn([&p](const CLI::App* app, const std::string&, CLI::AppFormatMode) {
    const Terminal terminal = terminal_of(stdout);
    const int width = std::clamp(terminal.width, 60, 120);
    return help_text(describe(*app), without_help(describe(p.app).options), width);
  });
  Syntax program(p.app);
  program.flag("-q,--quiet", p.globals.quiet, "Print errors only");
  program.flag("-v,--verbose", p.globals.verbose, "Print details").excludes("--quiet");
  program.integer("--threads", p.globals.threads, {.min = 0, .max = 4096}, "Threads to compute with; 0 is all there are");
  program.environment("EVERLONG_THREADS");

  p.add(declare_train(program, p.train), [&p] { return compute(p.globals).run_train(p.train); });
  p.add(declare_eval(program, p.eval), [&p] { return compute(p.globals).run_eval(p.eval); });
  p.add(declare_generate(program, p.generate), [&p] { return compute(p.globals).run_generate(p.generate); });
  p.add(declare_fill_mask(program, p.fill_mask), [&p] { return compute(p.globals).run_fill_mask(p.fill_mask); });
  p.add(declare_predict(program, p.predict), [&p] { return compute(p.globals).run_predict(p.predict); });
  p.add(declare_embed(program, p.embed), [&p] { return compute(p.globals).run_embed(p.embed); });
  p.add(declare_tokenize(program, p.tokenize), [&p] { return run_tokenize(p.tokenize); });
  p.add(declare_data(program, p.data), [&p] {
    if (p.data.action == DataAction::make) return run_data_make(p.data.make);
    return p.data.action == DataAction::info ? run_data_info(p.data) : compute(p.globals).run_data_pack(p.data);
  });
  p.add(declare_inspect(program, p.inspect), [&p] { return run_inspect(p.inspect); });
  p.add(declare_state(program, p.state),
        [&p] { return p.state.action == StateAction::info ? run_state_info(p.state) : compute(p.globals).run_state_diff(p.state); });
  p.add(declare_convert(program, p.convert), [&p] { return compute(p.globals).run_convert(p.convert); });
  p.add(declare_verify(program, p.verify), [&p] { return compute(p.globals).run_verify(p.verify); });
  p.add(declare_bench(program, p.bench), [&p] { return compute(p.globals).run_bench(p.bench); });
  p.add(declare_plot(program, p.plot), [&p] { return run_plot(p.plot); });
  p.add(declare_doctor(program, p.doctor), [&p] { return run_doctor(p.doctor, p.globals); });
  p.add(declare_completion(program, p.completion), [this, &p] { return run_completion(p.completion, description()); });
  p.add(declare_man(program), [this] { return run_man(description()); });
  program.require_verb();
}

int Command::run(int argc, char** argv) {
  Parts& p = *parts_;
  if (argc <= 1) {
    std::fputs(p.app.help().c_str(), stderr);
    return kUsage;
  }
  try {
    p.app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    print(chosen_verb(p.app).help());
    return kSuccess;
  } catch (const CLI::CallForVersion& version) {
    print(fmt::format("{}\n", version.what()));
    return kSuccess;
  } catch (const CLI::ParseError& error) {
    std::fputs(usage_message(p.app, error).c_str(), stderr);
    return kUsage;
  }
  set_log_level(p.globals.quiet ? LogLevel::quiet : p.globals.verbose ? LogLevel::verbose : LogLevel::normal);
  return p.chosen();
}

}  // namespace everlong::app
