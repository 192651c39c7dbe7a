// Builds a tiny model from the registry, streams tokens from it and prints how much it remembers.

#include <cstdio>
#include <memory>

#include "everlong/generate/session.h"
#include "everlong/models/registry.h"

int main() {
  using namespace everlong;
  const std::shared_ptr<const text::Tokenizer> tokenizer = text::make_bytes_tokenizer();
  const auto config = models::find_architecture("mega").tiny_config();
  config->set_vocabulary(tokenizer->vocab_size());
  const auto model = std::make_shared<models::CausalLm>(*config);
  model->eval();

  generate::Session session(model, tokenizer);
  session.read("It is a truth universally acknowledged");
  int pieces = 0;
  generate::GenerateOptions options{.max_tokens = 64, .seed = 1};
  options.on_text = [&](std::string_view) { return ++pieces > 0; };
  const auto generated = session.generate(options);
  std::printf("%zu tokens in %d pieces, position %lld, %lld bytes of state\n", generated.tokens.size(), pieces,
              static_cast<long long>(session.position()), static_cast<long long>(session.state_bytes()));
}
