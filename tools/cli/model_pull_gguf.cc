#include "tools/cli/model_pull_gguf.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <vector>

#include "core/file.h"
#include "core/json.h"
#include "core/macros.h"
#include "core/text.h"
#include "tools/cli/model_pull_hub.h"
#include "tools/cli/model_pull_staging.h"
#include "tools/cli/progress.h"

namespace nestor::cli {
namespace {

constexpr std::uint64_t kMostGgufBytes = 4'000'000'000;
constexpr std::string_view kSuffix = ".gguf";

bool is_plain_part(std::string_view part) {
  return !part.empty() && part.size() <= 96 && part.front() != '.' &&
         std::all_of(part.begin(), part.end(), [](unsigned char c) {
           return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
         });
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return result;
}

// A file of the repository as its listing describes it.
struct ListedFile {
  std::string name;
  std::string sha256;
  std::uint64_t bytes = 0;
};

// The GGUF files of a listing. Source: the Hub's API, GET /api/models/REPO?blobs=true; what lies in
// its large-file store has {"rfilename", "size", "lfs": {"sha256", …}}.
Result<std::vector<ListedFile>> gguf_files(const std::string& listing, const std::string& from) {
  const Result<JsonValue> parsed = parse_json(listing);
  if (!parsed.ok()) return parsed.status().with_context(from);
  const JsonValue* const siblings = parsed.value().find("siblings");
  if (siblings == nullptr || !siblings->is_array()) {
    return Status(StatusCode::kIoError, from + " answered with no list of files");
  }
  std::vector<ListedFile> files;
  for (const JsonValue& item : siblings->elements()) {
    const JsonValue* const name = item.find("rfilename");
    if (name == nullptr || !name->is_string()) continue;
    ListedFile file{.name = name->text(), .sha256 = {}};
    // A name is made a file here: nothing but one plain word is.
    if (!is_plain_part(file.name) || !file.name.ends_with(kSuffix)) continue;
    if (const JsonValue* const size = item.find("size"); size && size->is_number_unsigned()) {
      file.bytes = size->get<std::uint64_t>();
    }
    const JsonValue* const large = item.find("lfs");
    const JsonValue* const sha256 = large == nullptr ? nullptr : large->find("sha256");
    if (sha256 != nullptr && sha256->is_string()) file.sha256 = sha256->text();
    files.push_back(std::move(file));
  }
  return files;
}

Result<ListedFile> choose_file(const std::vector<ListedFile>& files, const GgufChoice& choice) {
  const std::string ending = lower(choice.quantisation) + std::string(kSuffix);
  const ListedFile* chosen = nullptr;
  std::string names;
  int matches = 0;
  for (const ListedFile& file : files) {
    names += "\n  " + file.name;
    const std::string name = lower(file.name);
    if (!name.ends_with("-" + ending) && !name.ends_with("." + ending)) continue;
    chosen = &file;
    ++matches;
  }
  if (matches != 1) {
    return Status(
        StatusCode::kNotFound,
        fmt::format("{}: {} GGUF files of {}, expected one. It has:{}", choice.repository, matches,
                    choice.quantisation, names.empty() ? "\n  none at all" : names));
  }
  const bool is_hash = chosen->sha256.size() == 64 &&
                       chosen->sha256.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (!is_hash || chosen->bytes == 0 || chosen->bytes > kMostGgufBytes) {
    return Status(StatusCode::kIoError,
                  fmt::format("{}: the listing gives {} the SHA-256 {} and {} bytes; a file is "
                              "taken only with both, up to {} bytes",
                              choice.repository, chosen->name, quote_for_message(chosen->sha256),
                              chosen->bytes, kMostGgufBytes));
  }
  return *chosen;
}

}  // namespace

Result<GgufChoice> parse_gguf_choice(std::string_view text) {
  GgufChoice choice;
  const std::size_t colon = text.find(':');
  choice.repository = text.substr(0, colon);
  choice.quantisation = colon == std::string_view::npos ? "Q8_0" : text.substr(colon + 1);
  const std::size_t slash = choice.repository.find('/');
  const std::string_view repository = choice.repository;
  if (slash == std::string::npos || !is_plain_part(repository.substr(0, slash)) ||
      !is_plain_part(repository.substr(slash + 1)) || !is_plain_part(choice.quantisation)) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("{} is neither a file nor ORG/REPO[:QUANT], such as {}",
                              quote_for_message(text), kDefaultGguf));
  }
  return choice;
}

Result<std::string> pull_gguf(const GgufRequest& request, Context& context) {
  if (is_regular_file(request.what)) return request.what;
  NESTOR_ASSIGN_OR_RETURN(
      const GgufChoice choice,
      parse_gguf_choice(request.what.empty() ? std::string_view(kDefaultGguf) : request.what));
  NESTOR_ASSIGN_OR_RETURN(HubAccess access, hub_access());
  if (access.offline) {
    return Status(StatusCode::kModelMissing,
                  fmt::format("{} is not asked for: HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set. "
                              "Name a GGUF file you have instead.",
                              choice.repository));
  }
  if (!request.accept_gemma_terms) {
    return Status(
        StatusCode::kModelMissing,
        fmt::format("{} is open to all and was not asked: whoever fetches the weights accepts the "
                    "Gemma Terms of Use, {}\nOnce you have read and accept them:\n  nestor model "
                    "pull --gguf {} --accept-gemma-terms",
                    choice.repository, kGemmaTermsAddress, request.what));
  }
  access.repository = choice.repository;
  NESTOR_ASSIGN_OR_RETURN(const std::string listing, fetch_hub_listing(access, context));
  NESTOR_ASSIGN_OR_RETURN(const std::vector<ListedFile> files,
                          gguf_files(listing, access.endpoint));
  NESTOR_ASSIGN_OR_RETURN(const ListedFile file, choose_file(files, choice));
  if (file.sha256 == request.packed_sha256) return std::string();
  const embed::KnownModelFile wanted{
      .path = file.name.c_str(), .sha256 = file.sha256.c_str(), .bytes = file.bytes};
  NESTOR_ASSIGN_OR_RETURN(PullStaging staging,
                          PullStaging::open(request.target, {&wanted, 1}, context));
  if (!staging.missing().empty()) {
    context.note(
        fmt::format("The weights are Google's, under the Gemma Terms of Use: {}\n"
                    "You accept them with --accept-gemma-terms. Fetching {} of {}, {}.",
                    kGemmaTermsAddress, file.name, choice.repository,
                    bytes_text(static_cast<double>(file.bytes))));
    NESTOR_RETURN_IF_ERROR(pull_from_hub(staging, access, context));
  }
  NESTOR_RETURN_IF_ERROR(staging.finish());
  return request.target + "/" + file.name;
}

}  // namespace nestor::cli
