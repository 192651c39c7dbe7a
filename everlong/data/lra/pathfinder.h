#pragma once
// Pathfinder: two discs in a picture of dashed curves; are they the ends of one curve? No torch.

#include <cstdint>
#include <vector>

namespace everlong::data {

struct PathfinderOptions {
  int64_t size = 32;        ///< pixels a side, in [16, 1024]
  int64_t dashes = 7;       ///< of each of the two long curves: the longer, the harder
  int64_t distractors = 2;  ///< shorter curves without a disc, of a third of the dashes (at least two)
  double dash_len = 2.0;    ///< pixels at size 32; lengths grow with the size
  double gap_len = 1.5;     ///< between the ends of two dashes
  double clearance = 4.0;   ///< least distance between two curves, and between parts of one that are not neighbours; more than dash gap and width
  double max_turn = 0.6;    ///< radians between two dashes
  double radius = 1.5;      ///< of the discs
  uint64_t seed = 0;
};

struct PathfinderImage {
  std::vector<uint8_t> pixels;  ///< [size, size], white on black
  bool connected = false;       ///< the class
};

/// Draws the picture of that number. Both classes are as likely, and both show two long curves, two discs at ends and the distractors: only where
/// the discs are tells them apart.
/// State    a function of (options, number) alone
/// Cost     O(size^2), times the curves
/// Errors   InvalidArgument if an option is outside its range, or the curves find no room within many trials
/// Source   Linsley et al., "Learning long-range spatial dependencies with horizontal gated recurrent units", 2018; the size is that of Tay et al.,
///          "Long Range Arena", 2021. Differs: an own drawing, not the published pictures.
[[nodiscard]] PathfinderImage make_pathfinder(const PathfinderOptions& options, int64_t number);

}  // namespace everlong::data
