#include "everlong/text/bpe_trainer.h"

#include <algorithm>
#include <queue>
#include <unordered_map>
#include <unordered_set>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/text/byte_alphabet.h"
#include "everlong/text/gpt2_split.h"
#include "everlong/text/string_table.h"
#include "everlong/text/utf8.h"

namespace everlong::text {
namespace {

constexpr int64_t kMaxVocabSize = 1 << 24;

struct Pair {
  int32_t left, right;

  [[nodiscard]] uint64_t key() const { return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right); }
};

struct PairHash {
  size_t operator()(uint64_t key) const { return static_cast<size_t>((key ^ key >> 31) * 0x9E3779B97F4A7C15ULL); }
};

struct PairStats {
  int64_t count = 0;
  std::vector<uint32_t> words;  ///< every word that has had the pair; may repeat, may be out of date
};

struct Candidate {
  int64_t count;
  Pair pair;

  /// Order of the heap, whose top is the greatest: by count, then the smaller ids.
  friend bool operator<(const Candidate& a, const Candidate& b) { return a.count != b.count ? a.count < b.count : a.pair.key() > b.pair.key(); }
};

class Trainer {
 public:
  Trainer(std::span<const std::string_view> texts, const BpeTrainerOptions& options) : min_pair_count_(std::max<int64_t>(1, options.min_pair_count)) {
    for (const std::string& token : options.special_tokens) spellings_.push_back(token);
    special_count_ = spellings_.size();
    special_spellings_.insert(options.special_tokens.begin(), options.special_tokens.end());
    add_alphabet();
    count_words(texts);
    for (uint32_t word = 0; word < words_.size(); ++word) {
      for (size_t i = 0; i + 1 < words_[word].size(); ++i) add({words_[word][i], words_[word][i + 1]}, counts_[word], word);
    }
    for (const auto& entry : pairs_) push({static_cast<int32_t>(entry.first >> 32), static_cast<int32_t>(entry.first & 0xFFFFFFFF)});
  }

  void run(size_t vocab_size) {
    while (spellings_.size() < vocab_size && !heap_.empty()) {
      const Candidate top = heap_.top();
      heap_.pop();
      if (top.count != pairs_[top.pair.key()].count) continue;  // a fresher entry is in the heap, or the pair is gone
      if (top.count < min_pair_count_) break;
      const std::string spelling = spellings_[static_cast<size_t>(top.pair.left)] + spellings_[static_cast<size_t>(top.pair.right)];
      if (special_spellings_.contains(spelling)) continue;
      apply(top.pair, id_for(spelling));
    }
  }

  BpeDefinition definition(const std::vector<std::string>& special_tokens) {
    BpeDefinition definition = byte_level_definition();
    for (size_t id = 0; id < spellings_.size(); ++id) definition.vocabulary.push_back({spellings_[id], static_cast<int32_t>(id)});
    definition.merges = std::move(merges_);
    for (size_t id = 0; id < special_count_; ++id) {
      definition.added_tokens.push_back({.id = static_cast<int32_t>(id), .content = special_tokens[id], .special = true});
    }
    return definition;
  }

 private:
  /// The bytes in order of the characters that stand for them, as Hugging Face numbers them.
  void add_alphabet() {
    std::vector<std::pair<char32_t, uint8_t>> alphabet;
    for (int byte = 0; byte < 256; ++byte) alphabet.emplace_back(byte_to_char(static_cast<uint8_t>(byte)), static_cast<uint8_t>(byte));
    std::sort(alphabet.begin(), alphabet.end());
    for (const auto& letter : alphabet) {
      byte_ids_[letter.second] = static_cast<int32_t>(spellings_.size());
      spellings_.push_back(spell_bytes(std::string(1, static_cast<char>(letter.second))));
      ids_.emplace(spellings_.back(), byte_ids_[letter.second]);
    }
  }

  void count_words(std::span<const std::string_view> texts) {
    StringTable table;
    for (const std::string_view text : texts) {
      for (size_t begin = 0; begin < text.size();) {
        const size_t end = gpt2_word_end(text, begin);
        const uint32_t word = table.insert(text.substr(begin, end - begin));
        if (word == counts_.size()) counts_.push_back(0);
        ++counts_[word];
        begin = end;
      }
    }
    words_.resize(table.size());
    for (uint32_t word = 0; word < table.size(); ++word) {
      for (const char byte : table.at(word)) words_[word].push_back(byte_ids_[static_cast<uint8_t>(byte)]);
    }
  }

  void add(Pair pair, int64_t count, uint32_t word) {
    PairStats& stats = pairs_[pair.key()];
    stats.count += count;
    if (count > 0 && (stats.words.empty() || stats.words.back() != word)) stats.words.push_back(word);
  }

  void push(Pair pair) {
    const int64_t count = pairs_[pair.key()].count;
    if (count >= min_pair_count_) heap_.push({count, pair});
  }

  int32_t id_for(const std::string& spelling) {
    const auto made = ids_.emplace(spelling, static_cast<int32_t>(spellings_.size()));
    if (made.second) spellings_.push_back(spelling);
    return made.first->second;
  }

  /// Merges a pair in every word that has it and brings the counts of its neighbours up to date.
  void apply(Pair pair, int32_t result) {
    merges_.push_back({pair.left, pair.right, result});
    const std::vector<uint32_t> affected = std::move(pairs_[pair.key()].words);
    pairs_[pair.key()].words.clear();
    touched_.clear();
    for (const uint32_t word : affected) merge_in_word(word, pair, result);
    pairs_[pair.key()].count = 0;
    std::sort(touched_.begin(), touched_.end());
    touched_.erase(std::unique(touched_.begin(), touched_.end()), touched_.end());
    for (const uint64_t key : touched_) push({static_cast<int32_t>(key >> 32), static_cast<int32_t>(key & 0xFFFFFFFF)});
  }

  void merge_in_word(uint32_t word, Pair pair, int32_t result) {
    std::vector<int32_t>& symbols = words_[word];
    const auto change = [&](int32_t left, int32_t right, int64_t count) {
      const Pair changed{left, right};
      add(changed, count, word);
      touched_.push_back(changed.key());
    };
    size_t kept = 0;
    for (size_t i = 0; i < symbols.size(); ++i) {
      if (i + 1 == symbols.size() || symbols[i] != pair.left || symbols[i + 1] != pair.right) {
        symbols[kept++] = symbols[i];
        continue;
      }
      if (kept > 0) {
        change(symbols[kept - 1], pair.left, -counts_[word]);
        change(symbols[kept - 1], result, counts_[word]);
      }
      if (i + 2 < symbols.size()) {
        change(pair.right, symbols[i + 2], -counts_[word]);
        change(result, symbols[i + 2], counts_[word]);
      }
      symbols[kept++] = result;
      ++i;
    }
    symbols.resize(kept);
  }

  int64_t min_pair_count_;
  size_t special_count_ = 0;
  std::vector<std::string> spellings_;  ///< by id
  std::unordered_map<std::string, int32_t> ids_;
  std::unordered_set<std::string> special_spellings_;
  std::array<int32_t, 256> byte_ids_{};
  std::vector<std::vector<int32_t>> words_;
  std::vector<int64_t> counts_;
  std::unordered_map<uint64_t, PairStats, PairHash> pairs_;
  std::priority_queue<Candidate> heap_;
  std::vector<uint64_t> touched_;
  std::vector<BpeMerge> merges_;
};

void check_arguments(int64_t vocab_size, const BpeTrainerOptions& options) {
  const auto least = static_cast<int64_t>(256 + options.special_tokens.size());
  require(vocab_size >= least && vocab_size <= kMaxVocabSize, [&] {
    return Complaint{
        .where = "train_bpe",
        .expected = fmt::format("a vocab_size from {} (256 bytes and {} special tokens) to {}", least, options.special_tokens.size(), kMaxVocabSize),
        .got = std::to_string(vocab_size)};
  });
  std::unordered_set<std::string_view> seen;
  for (const std::string& token : options.special_tokens) {
    const auto bytes = unspell_bytes(token);
    const bool one_byte = bytes && bytes->size() == 1;
    require(!token.empty() && is_utf8(token) && !one_byte && seen.insert(token).second, [&] {
      return Complaint{.where = "train_bpe",
                       .expected = "special tokens that are distinct UTF-8 texts of more than one character",
                       .got = fmt::format("'{}'", is_utf8(token) ? token : "bytes that are no UTF-8")};
    });
  }
}

}  // namespace

BpeDefinition train_bpe(std::span<const std::string_view> texts, int64_t vocab_size, const BpeTrainerOptions& options) {
  check_arguments(vocab_size, options);
  Trainer trainer(texts, options);
  trainer.run(static_cast<size_t>(vocab_size));
  return trainer.definition(options.special_tokens);
}

}  // namespace everlong::text
