#include "tools/cli/model_pull_hub.h"

#include <fmt/format.h>
#include <stdlib.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "core/file.h"
#include "core/macros.h"
#include "tools/cli/model_pull_process.h"
#include "tools/cli/progress.h"

namespace nestor::cli {
namespace {

constexpr const char* kHub = "https://huggingface.co";
// Beside the files themselves, for the file system's own needs.
constexpr std::uint64_t kSpareBytes = 50'000'000;
constexpr int kRangeRefused = 33;  // curl's exit code where a server cannot go on in the middle

bool is_set(const char* name) {
  const std::string value = environment(name);
  return !value.empty() && value != "0" && value != "false" && value != "False";
}

std::string hugging_face_home() {
  if (std::string home = environment("HF_HOME"); !home.empty()) return home;
  if (std::string cache = environment("XDG_CACHE_HOME"); !cache.empty())
    return cache + "/huggingface";
  return environment("HOME") + "/.cache/huggingface";
}

std::string stripped(const std::string& text) {
  const std::size_t begin = text.find_first_not_of(" \r\n\t");
  if (begin == std::string::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \r\n\t") + 1 - begin);
}

std::uint64_t bytes_of(const std::string& path) {
  std::error_code error;
  const auto bytes = std::filesystem::file_size(path, error);
  return error ? 0 : bytes;
}

std::string part_path(const std::string& folder, const embed::KnownModelFile& known) {
  std::string name = known.path;
  std::replace(name.begin(), name.end(), '/', '_');
  return folder + "/" + name + ".part";
}

// A string of curl's configuration language.
std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += c;
  }
  return result + "\"";
}

std::string refusal(const std::string& answer, const HubAccess& access) {
  return fmt::format(
      "{} answered {} for {} ({}): the model is gated. To get in:\n"
      "  1. accept the licence, logged in, at {}/{}\n"
      "  2. type `hf auth login`, or set HF_TOKEN to a token of that account\n"
      "  3. type `nestor model pull` again",
      access.endpoint, answer, access.repository,
      access.token.empty() ? "no token" : "with the token of " + access.token_origin, kHub,
      access.repository);
}

// curl for `url`; its last line says the HTTP status.
ChildCommand curl_command(const HubAccess& access, const std::string& url,
                          std::uint64_t most_bytes) {
  ChildCommand curl;
  curl.arguments = {"curl", "--config", "-"};
  const std::vector<std::string> manners = {"--fail",
                                            "--silent",
                                            "--show-error",
                                            "--location",
                                            "--proto",
                                            "=http,https",
                                            "--retry",
                                            "3",
                                            "--connect-timeout",
                                            "20",
                                            "--speed-limit",
                                            "1",
                                            "--speed-time",
                                            "60",
                                            "--write-out",
                                            "%{http_code}"};
  curl.arguments.insert(curl.arguments.end(), manners.begin(), manners.end());
  curl.arguments.insert(curl.arguments.end(), {"--max-filesize", std::to_string(most_bytes)});
  curl.input = fmt::format("url = {}\n", quoted(url));
  // curl sends a header of this name to the first host only, not to the store it is led on to.
  if (!access.token.empty()) {
    curl.input += fmt::format("header = {}\n", quoted("Authorization: Bearer " + access.token));
  }
  return curl;
}

// One file, from where it stopped.
class HubFile {
 public:
  HubFile(const embed::KnownModelFile& known, const HubAccess& access, std::string part)
      : known_(known), access_(access), part_(std::move(part)) {}

  Status fetch(Context& context, const std::function<void()>& on_tick) const {
    std::error_code ignored;
    if (bytes_of(part_) > known_.bytes) std::filesystem::remove(part_, ignored);
    if (bytes_of(part_) == known_.bytes) return {};
    NESTOR_ASSIGN_OR_RETURN(ChildResult ended, run_child(command(), context.stop, on_tick));
    if (ended.exit_code == kRangeRefused) {
      std::filesystem::remove(part_, ignored);
      NESTOR_ASSIGN_OR_RETURN(ended, run_child(command(), context.stop, on_tick));
    }
    return judge(ended);
  }

 private:
  [[nodiscard]] ChildCommand command() const {
    ChildCommand curl = curl_command(
        access_,
        fmt::format("{}/{}/resolve/main/{}", access_.endpoint, access_.repository, known_.path),
        known_.bytes);
    curl.arguments.insert(curl.arguments.end(), {"--continue-at", "-", "--output", part_});
    return curl;
  }

  [[nodiscard]] Status judge(const ChildResult& ended) const {
    const std::string answer = last_line(ended.output);
    if (answer == "401" || answer == "403")
      return {StatusCode::kModelMissing, refusal(answer, access_)};
    if (ended.exit_code == 0) return {};
    std::string said = last_line(ended.errors);
    if (said.empty()) said = fmt::format("curl ended with {}", ended.exit_code);
    return {StatusCode::kIoError,
            fmt::format("{} of {}: {}; what has come is kept, type the command again to "
                        "go on",
                        known_.path, access_.endpoint, said)};
  }

  const embed::KnownModelFile& known_;
  const HubAccess& access_;
  std::string part_;
};

struct HubTally {
  std::uint64_t total = 0;     // of all files that are fetched
  std::uint64_t resumed = 0;   // of it, what an earlier pull had brought: no part of the rate
  std::uint64_t finished = 0;  // files that are in
};

Status fetch_with_progress(const HubFile& file, const embed::KnownModelFile& known,
                           const std::string& part, const HubTally& tally, Context& context) {
  ProgressLine line(context, fmt::format("fetching {}", known.path));
  const auto detail = [&](double rate) {
    return fmt::format("{} of {}  {}/s",
                       bytes_text(static_cast<double>(tally.finished + bytes_of(part))),
                       bytes_text(static_cast<double>(tally.total)), bytes_text(rate));
  };
  return file.fetch(context, [&] {
    const std::uint64_t done = tally.finished + bytes_of(part);
    line.update(static_cast<std::int64_t>(done - std::min(done, tally.resumed)),
                static_cast<std::int64_t>(tally.total - tally.resumed), detail);
  });
}

}  // namespace

Result<HubAccess> hub_access() {
  HubAccess access;
  access.endpoint = environment("HF_ENDPOINT");
  access.endpoint_named = !access.endpoint.empty();
  if (!access.endpoint_named) access.endpoint = kHub;
  while (access.endpoint.ends_with('/')) access.endpoint.pop_back();
  access.offline = is_set("HF_HUB_OFFLINE") || is_set("TRANSFORMERS_OFFLINE");
  access.token = stripped(environment("HF_TOKEN"));
  access.token_origin = "HF_TOKEN";
  if (access.token.empty()) {
    constexpr std::uint64_t kMostBytes = 4096;
    std::string path = environment("HF_TOKEN_PATH");
    if (path.empty()) path = hugging_face_home() + "/token";
    const Result<std::string> file = read_file(path, kMostBytes);
    if (file.ok()) access.token = stripped(file.value());
    access.token_origin = access.token.empty() ? "HF_TOKEN, " + path : path;
  }
  const bool plain = std::all_of(access.token.begin(), access.token.end(),
                                 [](char c) { return c > ' ' && c <= '~'; });
  if (!plain) {
    return Status(
        StatusCode::kInvalidArgument,
        fmt::format("the Hugging Face token of {} is not one word of printable ASCII; type "
                    "`hf auth login`",
                    access.token_origin));
  }
  return access;
}

Result<std::string> fetch_hub_listing(const HubAccess& access, Context& context) {
  constexpr std::uint64_t kMostBytes = 4ULL << 20;
  // A file of its own: run_child keeps only the end of a long output.
  std::string folder = (std::filesystem::temp_directory_path() / "nestor-hub-XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr) return errno_status(errno, "make", folder);
  const std::string path = folder + "/listing.json";
  ChildCommand curl = curl_command(
      access, fmt::format("{}/api/models/{}?blobs=true", access.endpoint, access.repository),
      kMostBytes);
  curl.arguments.insert(curl.arguments.end(), {"--output", path});
  const Result<ChildResult> ended = run_child(curl, context.stop, {});
  const Result<std::string> listing = read_file(path, kMostBytes);
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  if (!ended.ok()) return ended.status();
  const std::string answer = last_line(ended.value().output);
  if (answer == "401" || answer == "403") {
    return Status(StatusCode::kModelMissing, refusal(answer, access));
  }
  if (ended.value().exit_code != 0) {
    return Status(StatusCode::kIoError,
                  fmt::format("{} of {}: {}", access.repository, access.endpoint,
                              last_line(ended.value().errors)));
  }
  return listing;
}

Status pull_from_hub(PullStaging& staging, const HubAccess& access, Context& context) {
  NESTOR_ASSIGN_OR_RETURN(const std::string folder, staging.workshop("hub"));
  std::vector<const embed::KnownModelFile*> wanted = staging.missing();
  HubTally tally{.total = staging.missing_bytes()};
  for (const embed::KnownModelFile* known : wanted) {
    tally.resumed += std::min(bytes_of(part_path(folder, *known)), known->bytes);
  }
  NESTOR_RETURN_IF_ERROR(
      staging.check_space(tally.total - tally.resumed + kSpareBytes, "the download"));
  // The smallest first: a refusal or a wrong revision shows before the gigabyte.
  std::reverse(wanted.begin(), wanted.end());
  for (const embed::KnownModelFile* known : wanted) {
    const std::string part = part_path(folder, *known);
    const bool resumed = bytes_of(part) > 0;
    const HubFile file(*known, access, part);
    NESTOR_RETURN_IF_ERROR(fetch_with_progress(file, *known, part, tally, context));
    Status taken = staging.take(*known, part, TakeMode::kMove, context);
    if (taken.code() == StatusCode::kDataLoss && resumed) {
      // A rest of another revision spoils what is put behind it: once more, from the start.
      NESTOR_RETURN_IF_ERROR(fetch_with_progress(file, *known, part, tally, context));
      taken = staging.take(*known, part, TakeMode::kMove, context);
    }
    if (!taken.ok()) {
      return taken.with_context(
          fmt::format("what {} sent is not the known model", access.endpoint));
    }
    tally.finished += known->bytes;
  }
  return {};
}

}  // namespace nestor::cli
