#include "embed/checkpoint.h"

#include "core/file.h"
#include "core/macros.h"
#include "embed/checkpoint_gguf.h"
#include "embed/checkpoint_safetensors.h"
#include "embed/gguf.h"

namespace nestor::embed {

Result<std::unique_ptr<Checkpoint>> open_checkpoint(const CheckpointOptions& options) {
  if (is_folder(options.path)) return open_safetensors_checkpoint(options);
  NESTOR_ASSIGN_OR_RETURN(const RandomAccessFile file, RandomAccessFile::open(options.path));
  NESTOR_ASSIGN_OR_RETURN(const bool gguf, is_gguf(file));
  if (gguf) return open_gguf_checkpoint(options);
  return Status(StatusCode::kUnsupported,
                options.path +
                    ": neither a model's folder (config.json, model.safetensors, …) nor a GGUF "
                    "file, whose first bytes are \"GGUF\"");
}

}  // namespace nestor::embed
