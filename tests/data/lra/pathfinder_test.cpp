#include "everlong/data/lra/pathfinder.h"

#include <cmath>
#include <numeric>
#include <set>

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "tests/support/message.h"

namespace everlong::data {
namespace {

using testing::message_of;

/// Groups of white pixels that lie within `reach` of each other, and the pixels at whose centre a disc could be.
class Components {
 public:
  Components(const PathfinderImage& image, int64_t size, double reach) : size_(size), parent_(image.pixels.size()) {
    std::iota(parent_.begin(), parent_.end(), size_t{0});
    const auto radius = static_cast<int64_t>(std::ceil(reach));
    for (int64_t y = 0; y < size; ++y) {
      for (int64_t x = 0; x < size; ++x) {
        if (image.pixels[at(x, y)] < 100) continue;
        for (int64_t v = std::max<int64_t>(y - radius, 0); v <= std::min(y + radius, size - 1); ++v) {
          for (int64_t u = std::max<int64_t>(x - radius, 0); u <= std::min(x + radius, size - 1); ++u) {
            if (image.pixels[at(u, v)] >= 100 && std::hypot(u - x, v - y) <= reach) join(at(x, y), at(u, v));
          }
        }
        if (is_disc(image, x, y)) discs_.insert(at(x, y));
      }
    }
  }

  /// How many groups have a disc.
  size_t with_disc() {
    std::set<size_t> groups;
    for (const size_t disc : discs_) groups.insert(root(disc));
    return groups.size();
  }
  [[nodiscard]] size_t disc_pixels() const { return discs_.size(); }

 private:
  [[nodiscard]] size_t at(int64_t x, int64_t y) const { return static_cast<size_t>(y * size_ + x); }
  size_t root(size_t i) {
    while (parent_[i] != i) i = parent_[i] = parent_[parent_[i]];
    return i;
  }
  void join(size_t a, size_t b) { parent_[root(a)] = root(b); }

  /// White in all directions as far as no dash is wide.
  bool is_disc(const PathfinderImage& image, int64_t x, int64_t y) const {
    const auto scale = std::max<int64_t>(size_ / 32, 1);
    for (int64_t v = -scale; v <= scale; ++v) {
      for (int64_t u = -scale; u <= scale; ++u) {
        if (std::hypot(u, v) > static_cast<double>(scale)) continue;
        if (x + u < 0 || y + v < 0 || x + u >= size_ || y + v >= size_ || image.pixels[at(x + u, y + v)] < 200) return false;
      }
    }
    return true;
  }

  int64_t size_;
  std::vector<size_t> parent_;
  std::set<size_t> discs_;
};

TEST(Pathfinder, TheClassIsWhatThePixelsShow) {
  // At 128 pixels dashes are 4 wide and gaps of 2 show between them: groups within 4 pixels are whole curves, which keep 8 or more apart.
  int connected = 0, checked = 0;
  for (int64_t number = 0; number < 120; ++number) {
    const PathfinderImage image = make_pathfinder({.size = 128, .seed = 2}, number);
    Components components(image, 128, 4);
    ASSERT_GT(components.disc_pixels(), 0u);
    EXPECT_EQ(components.with_disc(), image.connected ? 1u : 2u) << number;
    connected += image.connected;
    ++checked;
  }
  EXPECT_GT(connected, checked / 4);
  EXPECT_LT(connected, checked * 3 / 4);
}

TEST(Pathfinder, BothClassesHaveAsMuchInk) {
  double ink[2] = {0, 0}, squares[2] = {0, 0}, count[2] = {0, 0};
  for (int64_t number = 0; number < 1500; ++number) {
    const PathfinderImage image = make_pathfinder({}, number);
    ASSERT_EQ(image.pixels.size(), 32u * 32u);
    double sum = 0;
    for (const uint8_t pixel : image.pixels) sum += pixel;
    ink[image.connected] += sum;
    squares[image.connected] += sum * sum;
    ++count[image.connected];
  }
  EXPECT_NEAR(count[1] / 1500, 0.5, 4 * 0.5 / std::sqrt(1500.0));
  const auto mean = [&](int i) { return ink[i] / count[i]; };
  const auto error = [&](int i) { return (squares[i] / count[i] - mean(i) * mean(i)) / count[i]; };
  EXPECT_NEAR(mean(0), mean(1), 4 * std::sqrt(error(0) + error(1)));
}

TEST(Pathfinder, SeedAndNumberDecideAlone) {
  const auto first = make_pathfinder({.seed = 1}, 5);
  EXPECT_EQ(make_pathfinder({.seed = 1}, 5).pixels, first.pixels);
  EXPECT_NE(make_pathfinder({.seed = 1}, 6).pixels, first.pixels);
  EXPECT_NE(make_pathfinder({.seed = 2}, 5).pixels, first.pixels);
}

TEST(Pathfinder, OptionsOutsideTheirRangeAreRefused) {
  const auto says = [](const PathfinderOptions& options, int64_t number = 0) {
    return message_of<InvalidArgument>([&] { (void)make_pathfinder(options, number); });
  };
  EXPECT_EQ(says({}, -1), "[pathfinder] expected a number >= 0, got -1.");
  EXPECT_EQ(says({.size = 8}), "[pathfinder] expected a size from 16 to 1024, got 8.");
  EXPECT_EQ(says({.dashes = 1}), "[pathfinder] expected 2 to 1000 dashes, got 1.");
  EXPECT_EQ(says({.distractors = -1}), "[pathfinder] expected 0 to 1000 distractors, got -1.");
  EXPECT_EQ(says({.dash_len = 0}), "[pathfinder] expected 0 < dash_len <= 16, got 0.");
  EXPECT_EQ(says({.gap_len = std::nan("")}), "[pathfinder] expected 0 < gap_len <= 16, got nan.");
  EXPECT_EQ(says({.clearance = 3}), "[pathfinder] expected clearance from 4 (gap, disc and width) to 32, got 3.");
  EXPECT_EQ(says({.max_turn = 2}), "[pathfinder] expected 0 <= max_turn <= 1.5, got 2.");
  EXPECT_EQ(says({.radius = 0}), "[pathfinder] expected 0.5 <= radius <= 8, got 0.");
  EXPECT_EQ(says({.dashes = 1000}),
            "[pathfinder] expected room for 2 curves of 1000 dashes within 2000 trials, got none. Hint: draw fewer or shorter "
            "curves, or larger pictures.");
}

}  // namespace
}  // namespace everlong::data
