#include "tests/soak/power_cut.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace nestor::soak {
namespace {

namespace fs = std::filesystem;

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == path.npos ? std::string() : path.substr(0, slash);
}

std::string bytes_of(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

ModelDisk::ModelDisk(const std::string& folder) {
  std::error_code error;
  for (fs::recursive_directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    const int inode = make_inode(entry->is_directory());
    names_[fs::relative(entry->path(), folder).string()] = inode;
    if (!entry->is_directory()) inodes_.back().synced = bytes_of(entry->path());
  }
  synced_names_ = names_;
}

int ModelDisk::make_inode(bool folder) {
  inodes_.push_back({.folder = folder, .synced = {}, .pending = {}});
  return static_cast<int>(inodes_.size()) - 1;
}

void ModelDisk::apply(const NameChange& change, Names& names) {
  for (const auto& [name, inode] : change) {
    if (inode < 0) {
      names.erase(name);
    } else {
      names[name] = inode;
    }
  }
}

void ModelDisk::change_names(const std::string& folder, NameChange change) {
  apply(change, names_);
  unsynced_[folder].push_back(std::move(change));
}

void ModelDisk::apply(const Change& change, std::string& bytes) {
  if (change.truncate) {
    bytes.resize(change.offset);
    return;
  }
  bytes.resize(std::max<std::size_t>(bytes.size(), change.offset + change.bytes.size()));
  bytes.replace(change.offset, change.bytes.size(), change.bytes);
}

void ModelDisk::play(const NotedOp& op) {
  const auto inode_of = [&](std::uint32_t file) -> Inode& {
    return inodes_[static_cast<std::size_t>(open_files_.at(file))];
  };
  switch (op.op) {
    case FileOp::kCreate:
      change_names(folder_of(op.path), {{op.path, make_inode(false)}});
      open_files_[op.file] = names_[op.path];
      break;
    case FileOp::kOpen:
      if (const auto found = names_.find(op.path); found != names_.end())
        open_files_[op.file] = found->second;
      break;
    case FileOp::kWrite:
      inode_of(op.file).pending.push_back({.offset = op.offset, .bytes = op.other});
      break;
    case FileOp::kTruncate:
      inode_of(op.file).pending.push_back({.truncate = true, .offset = op.offset, .bytes = {}});
      break;
    case FileOp::kSync: {
      Inode& inode = inode_of(op.file);
      for (const Change& change : inode.pending) apply(change, inode.synced);
      inode.pending.clear();
      break;
    }
    case FileOp::kSyncFolder:
      for (const NameChange& change : unsynced_[op.path]) apply(change, synced_names_);
      unsynced_[op.path].clear();
      break;
    case FileOp::kRename:
      change_names(folder_of(op.other), {{op.path, -1}, {op.other, names_.at(op.path)}});
      break;
    case FileOp::kUnlink:
      change_names(folder_of(op.path), {{op.path, -1}});
      break;
    case FileOp::kMakeFolder:
      change_names(folder_of(op.path), {{op.path, make_inode(true)}});
      break;
    case FileOp::kRead:
      break;
  }
}

std::string ModelDisk::after_cut(const Inode& inode, Random& random) {
  enum Way { kDrop, kKeep, kTorn, kGarbled, kZeroed, kSome, kWays };
  const auto way = static_cast<Way>(random.below(kWays));
  const std::uint64_t whole = way == kDrop   ? 0
                              : way == kKeep ? inode.pending.size()
                                             : random.below(inode.pending.size() + 1);
  std::string bytes = inode.synced;
  for (std::size_t i = 0; i < inode.pending.size(); ++i) {
    Change change = inode.pending[i];
    if (way == kSome) {
      if (random.one_in(2)) apply(change, bytes);
      continue;
    }
    if (i < whole) {
      apply(change, bytes);
      continue;
    }
    if (way == kDrop || way == kKeep || change.truncate) continue;
    if (way == kTorn) {
      change.bytes.resize(random.below(change.bytes.size() + 1));
      apply(change, bytes);
      break;
    }
    for (char& byte : change.bytes) byte = way == kZeroed ? '\0' : static_cast<char>(random.next());
    apply(change, bytes);
  }
  return bytes;
}

int ModelDisk::cut(const std::string& folder, Random& random) const {
  int lost = 0;
  Names names = synced_names_;
  for (const auto& [place, changes] : unsynced_) {
    // A journal keeps the order of a folder's changes; how far it came is open.
    const std::uint64_t kept = random.one_in(3) ? changes.size() : random.below(changes.size() + 1);
    for (std::uint64_t i = 0; i < kept; ++i) apply(changes[i], names);
    lost += kept < changes.size() ? 1 : 0;
  }
  fs::create_directories(folder);
  for (const auto& [path, number] : names) {
    const Inode& inode = inodes_[static_cast<std::size_t>(number)];
    const std::string above = folder_of(path);
    if (!above.empty() && !names.contains(above)) continue;
    if (inode.folder) {
      fs::create_directory(folder + "/" + path);
      continue;
    }
    if (!inode.pending.empty()) ++lost;
    const std::string bytes = after_cut(inode, random);
    std::ofstream(folder + "/" + path, std::ios::binary)
        .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
  return lost;
}

}  // namespace nestor::soak
