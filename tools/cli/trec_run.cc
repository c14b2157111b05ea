#include "tools/cli/trec_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

#include "core/macros.h"
#include "core/text.h"

namespace nestor::cli {
namespace {

Status check_key(std::string_view what, const std::string& key) {
  if (!key.empty() && key.find_first_of(" \t\r\n\v\f") == std::string::npos) return {};
  return {StatusCode::kInvalidArgument,
          fmt::format(
              "{} {} cannot stand in a TREC run: an id there is not empty and holds no white space",
              what, quote_for_message(key))};
}

}  // namespace

std::vector<float> strictly_falling_scores(std::span<const RankedDocument> ranking) {
  constexpr float kLowest = -std::numeric_limits<float>::infinity();
  std::vector<float> scores;
  scores.reserve(ranking.size());
  for (const RankedDocument& document : ranking) {
    auto score = static_cast<float>(document.score);
    if (!scores.empty()) score = std::min(score, std::nextafter(scores.back(), kLowest));
    scores.push_back(score);
  }
  return scores;
}

Status TrecRun::add(const std::string& query_key, std::span<const RankedDocument> ranking) {
  NESTOR_RETURN_IF_ERROR(check_key("query", query_key));
  const std::vector<float> scores = strictly_falling_scores(ranking);
  for (std::size_t i = 0; i < ranking.size(); ++i) {
    NESTOR_RETURN_IF_ERROR(check_key("document", ranking[i].key));
    // Nine significant digits bring every float back as it was.
    fmt::format_to(std::back_inserter(text_), "{} Q0 {} {} {:.9g} {}\n", query_key, ranking[i].key,
                   i + 1, scores[i], tag_);
  }
  return {};
}

}  // namespace nestor::cli
