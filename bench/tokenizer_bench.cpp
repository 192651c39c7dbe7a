// tokenizer_bench TOKENIZER FILE...: megabytes of text a processor second, encoding and decoding.
// tokenizer_bench --train VOCAB_SIZE FILE...: seconds to learn a byte-level vocabulary.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "everlong/base/error.h"
#include "everlong/io/mapped_file.h"
#include "everlong/text/bpe_trainer.h"
#include "everlong/text/tokenizer.h"

namespace {

using everlong::text::Tokenizer;

/// Processor seconds of the fastest of `rounds` calls: nothing here uses more than one thread, and other programs must not count.
template <class F>
double best_seconds(int rounds, F&& call) {
  double best = 1e30;
  for (int round = 0; round < rounds; ++round) {
    const std::clock_t start = std::clock();
    call();
    best = std::min(best, static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
  }
  return best;
}

void bench_coding(const char* path, const std::vector<std::string>& texts) {
  std::unique_ptr<Tokenizer> tokenizer;
  const double load = best_seconds(1, [&] { tokenizer = everlong::text::load_tokenizer(path); });
  size_t bytes = 0;
  for (const std::string& text : texts) bytes += text.size();
  std::vector<int32_t> ids;
  const double encode = best_seconds(5, [&] {
    ids.clear();
    for (const std::string& text : texts) tokenizer->encode_into(text, ids);
  });
  std::string decoded;
  const double decode = best_seconds(5, [&] { decoded = tokenizer->decode(ids); });
  const auto megabytes = static_cast<double>(bytes) / 1e6;
  std::printf("%s: load %.1f ms, %.2f MB in %zu tokens, encode %.1f MB/s, decode %.1f MB/s\n", path, load * 1e3, megabytes, ids.size(),
              megabytes / encode, megabytes / decode);
}

void bench_training(int64_t vocab_size, const std::vector<std::string>& texts) {
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  size_t learnt = 0;
  const double seconds = best_seconds(3, [&] { learnt = everlong::text::train_bpe(views, vocab_size).vocabulary.size(); });
  std::printf("train: %zu tokens in %.3f s\n", learnt, seconds);
}

}  // namespace

int main(int argc, char** argv) {
  const bool train = argc > 1 && std::string_view(argv[1]) == "--train";
  const int first_file = train ? 3 : 2;
  if (argc <= first_file) {
    std::fprintf(stderr, "usage: tokenizer_bench TOKENIZER FILE...\n       tokenizer_bench --train VOCAB_SIZE FILE...\n");
    return 2;
  }
  try {
    std::vector<std::string> texts;
    for (int i = first_file; i < argc; ++i) texts.push_back(everlong::io::read_text_file(argv[i]));
    if (train) {
      bench_training(std::atoll(argv[2]), texts);
    } else {
      bench_coding(argv[1], texts);
    }
  } catch (const everlong::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
