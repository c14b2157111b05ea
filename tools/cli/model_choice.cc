#include "tools/cli/model_choice.h"

#include <optional>

#include "core/macros.h"
#include "embed/backend.h"
#include "embed/model_folder.h"
#include "embed/packed_model.h"
#include "embed/precision.h"

namespace nestor::cli {

Result<std::string> planned_precision(const Context& context, const std::string& asked) {
  std::optional<embed::Precision> precision;
  if (!asked.empty() && asked != "auto") {
    NESTOR_ASSIGN_OR_RETURN(precision, embed::parse_precision(asked));
  }
  NESTOR_ASSIGN_OR_RETURN(
      const embed::ModelLocation location,
      embed::find_model(context.global.model_folder, precision, embed::default_precision()));
  if (!precision.has_value() && !location.packed.empty()) {
    NESTOR_ASSIGN_OR_RETURN(const embed::PackedSummary packed,
                            embed::read_packed_summary(location.packed));
    precision = packed.precision;
  }
  return std::string(embed::precision_name(precision.value_or(embed::default_precision())));
}

std::string reported_precision(const Database& database, bool embedded, const Context& context,
                               const std::string& asked) {
  if (embedded) {
    const Result<Embedder> embedder = database.embedder();
    if (embedder.ok()) return embedder.value().info().precision;
  }
  const Result<std::string> planned = planned_precision(context, asked);
  return planned.ok() ? planned.value() : asked;
}

}  // namespace nestor::cli
