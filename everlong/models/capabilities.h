#pragma once

namespace everlong::models {

enum class Streaming { exact, approximate, none };

/// What a model promises. Verbs refuse by these, and the conformance suite tests each of them.
struct Capabilities {
  bool causal = true;                     ///< output t depends on tokens <= t only
  Streaming streaming = Streaming::exact;
  bool bounded_state = true;              ///< bytes per row do not grow with the sequence
  bool selection_looks_ahead = false;     ///< chooses what to attend to by later tokens (Routing's published rule)
  bool cross_attention = false;
};

}  // namespace everlong::models
