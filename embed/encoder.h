// Encoder: token ids to unit vectors, whatever the precision. FloatEncoder is the model in fp32 in
// the model's own words, TiledEncoder the fast one in bf16 and int8.
//
// Threads: constant after construction; any number of passes may run at once, each with its own
// Workspace.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <stop_token>

#include "embed/team.h"
#include "nestor/status.h"

namespace nestor::embed {

// The scratch of one pass, grown to the largest batch seen and then kept, so that a warm pass
// allocates nothing.
class Workspace {
 public:
  virtual ~Workspace() = default;
  // Of the time of all members in the last pass, what they waited for one another; 0 to 1.
  double waited_share = 0;

 protected:
  Workspace() = default;
};

class Encoder {
 public:
  virtual ~Encoder() = default;

  // Texts of up to so many tokens are encoded more finely and never together with longer ones; 0:
  // there is no difference.
  [[nodiscard]] virtual std::int64_t short_text_tokens() const { return 0; }
  [[nodiscard]] virtual std::unique_ptr<Workspace> make_workspace() const = 0;

  // Encodes the texts, each a sequence of ids of this vocabulary, at most context_tokens long and
  // at least one, all short or none. A text's row depends on its ids alone. The rows, (texts,
  // output_width) of unit length, lie in `workspace` (one of make_workspace) until its next use.
  // Errors: kDataLoss, kIoError (reading the embedding table), kCancelled, kInternal (a row without
  // a finite length).
  virtual Result<std::span<const float>> encode(
      std::span<const std::span<const std::int32_t>> texts, const Team& team,
      const std::stop_token& stop, Workspace& workspace) const = 0;
};

}  // namespace nestor::embed
