// What keeping a database in order asks and answers: repair, compact, erase. The calls are in
// nestor/database.h.
//
// What deleting means, in four steps, each a promise of its own:
//   hidden   remove() returned: no search, get, list or count shows the document any more.
//   out      of the index in memory at the same moment; of the index files when they are next
//            written (at close, once enough has changed), or at once with RemoveOptions::erase.
//   freed    disk space is given back by compact(), and by RocksDB itself in the background once a
//            quarter of the entries of a table file are deletions.
//   erased   after remove() with RemoveOptions::erase, or after compact(), no byte of the
//            document's key, title, text, metadata, vectors and words is left in any file of the
//            database; verify_erased() looks and tells. Beyond its reach: blocks that the file
//            system has given back but not overwritten, snapshots, copies and backups.
// Threads: values.
#pragma once

#include <cstdint>
#include <stop_token>
#include <string>
#include <vector>

#include "nestor/options.h"

namespace nestor {

struct RepairOptions {
  // Go on where acknowledged data is gone or damaged: what is damaged is set aside, the rest kept.
  bool accept_loss = false;
  std::stop_token stop = {};  // heard until the first change
  // As OpenOptions has it, for the database once it is repaired; what the repair itself looks
  // through is not counted.
  std::int64_t memory_bytes = 0;
  LogCallback log = {};
};

struct RepairReport {
  bool changed = false;
  // `lost` is not empty and accept_loss was not given: nothing was changed.
  bool needs_accept_loss = false;
  // Each a sentence: what is gone or cannot be read, and goes with accept_loss.
  std::vector<std::string> lost;
  // What was, or would be, made again: caches, field index, postings, counts, digests, watermark.
  std::vector<std::string> mended;
  std::int64_t documents_kept = 0;
  std::int64_t passages_kept = 0;
  std::int64_t documents_lost = 0;  // as far as they can be counted
  // The folder inside the database where damaged records lie as they were found, and readable
  // documents without all of their vectors as JSONL for `nestor add`. Empty when nothing was set
  // aside.
  std::string set_aside;
};

struct CompactReport {
  std::int64_t bytes_before = 0;  // of the whole folder
  std::int64_t bytes_after = 0;
};

struct ErasureReport {
  std::int64_t records = 0;  // versions of records looked at, hidden and deleted ones too
  std::int64_t files = 0;    // searched byte by byte: logs, manifests, caches
  std::int64_t bytes = 0;
  // Each a sentence that names the place. Empty: nothing of the document is left.
  std::vector<std::string> findings;
  // Places that rightly hold one of the texts asked for: other documents.
  std::vector<std::string> notes;
};

}  // namespace nestor
