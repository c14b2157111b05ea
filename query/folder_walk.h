// What a folder of documents holds: the files worth reading in a fixed order, and every other one
// with the reason why not. Nothing is opened, no symbolic link is followed. Threads: free
// functions, safe anywhere.
#pragma once

#include <cstdint>
#include <stop_token>
#include <string>
#include <vector>

#include "nestor/status.h"

namespace nestor::query {

enum class SkipReason : int {
  kHidden,        // the name begins with a dot
  kSymbolicLink,  // may lead out of the folder, or in circles
  kSpecial,       // FIFO, socket, device
  kDatabase,      // a Nestor database
  kBinaryName,    // the name says that it is no text: .png, .zip
  kBinary,        // the content says so
  kEmpty,         // nothing to see in it: no document, so that it is no hit
  kTooLarge,
  kUnreadable,
  kBadName,  // not UTF-8, or longer than a key may be
  kChanged,  // it went away or grew while the folder was read
};
// For people: "hidden", "symbolic link", …
const char* skip_reason_name(SkipReason reason);

struct SkippedFile {
  std::string path;  // relative; raw bytes, which may be no UTF-8
  SkipReason reason = SkipReason::kHidden;
  std::string detail;  // what was found, may be empty
  bool folder = false;
};

struct FolderFile {
  std::string path;  // relative to the folder, UTF-8
  std::int64_t bytes = 0;
};

struct FolderListing {
  std::vector<FolderFile> files;  // in byte order of their paths, part by part
  std::vector<SkippedFile> skipped;
};

struct WalkOptions {
  std::int64_t most_file_bytes = 0;
  // A folder that is passed over wherever it lies: the database that is being written.
  std::string database_path;
  std::stop_token stop = {};
};

// Errors: kNotFound and kInvalidArgument (`folder` is no folder), kIoError (it cannot be listed),
// kCancelled. A folder below that cannot be listed is a skipped one, not an error.
Result<FolderListing> walk_folder(const std::string& folder, const WalkOptions& options);

// Text: no NUL in its first bytes, and a name that says so (.md, .txt, .rst and their like) or next
// to no control characters and ill-formed UTF-8. With the byte order mark of UTF-16 or UTF-32 the
// same of what it decodes to, which has a space or a line break somewhere where the name says
// nothing: two bytes of noise are a mark easily.
bool looks_like_text(std::string_view name, std::string_view head);
// How much of a file looks_like_text wants to see.
inline constexpr std::size_t kTextHeadBytes = 8192;

}  // namespace nestor::query
