// A disk as a power cut leaves it: what the fault layer noted is played onto a model of a file
// system that knows which bytes and which names were synced, and the rest is kept, dropped, torn,
// zeroed or garbled. The model promises as little as POSIX does: fsync of a file is for its bytes,
// fsync of the folder for its name. Threads: an object belongs to one thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tests/soak/fault_layer.h"
#include "tests/soak/model.h"

namespace nestor::soak {

class ModelDisk {
 public:
  // Everything in `folder` is there and synced.
  explicit ModelDisk(const std::string& folder);
  void play(const NotedOp& op);
  // Writes what a cut now leaves to `folder`, which must not exist. Returns how many files and
  // names lost something.
  int cut(const std::string& folder, Random& random) const;

 private:
  struct Change {
    bool truncate = false;
    std::uint64_t offset = 0;  // or the new size
    std::string bytes;
  };
  struct Inode {
    bool folder = false;
    std::string synced;
    std::vector<Change> pending;
  };
  // A name of a folder, and the inode it gets (-1: none).
  using NameChange = std::vector<std::pair<std::string, int>>;
  using Names = std::map<std::string, int>;

  int make_inode(bool folder);
  void change_names(const std::string& folder, NameChange change);
  static void apply(const Change& change, std::string& bytes);
  static void apply(const NameChange& change, Names& names);
  static std::string after_cut(const Inode& inode, Random& random);

  std::vector<Inode> inodes_;
  Names names_;                                              // as programs see them
  Names synced_names_;                                       // and the disk
  std::map<std::string, std::vector<NameChange>> unsynced_;  // by folder
  std::map<std::uint32_t, int> open_files_;
};

}  // namespace nestor::soak
