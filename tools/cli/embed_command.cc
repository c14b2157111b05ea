// nestor embed: texts to vectors, one JSON line each
#include <fmt/format.h>

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "core/macros.h"
#include "core/text.h"
#include "tools/cli/command.h"
#include "tools/cli/jsonl_documents.h"
#include "tools/cli/line_reader.h"
#include "tools/cli/model_choice.h"
#include "tools/cli/number_option.h"
#include "tools/cli/output.h"

namespace nestor::cli {
namespace {

constexpr std::size_t kMostBatch = 64;
constexpr std::size_t kMostBatchBytes = 1 << 20;

struct EmbedCommandOptions {
  std::vector<std::string> texts;
  std::string role = "query";
  std::string title;
  std::string precision = {};
  int width = 0;
  bool jsonl = false;
};

class TextsInFlight {
 public:
  TextsInFlight(Embedder embedder, Role role, const EmbedCommandOptions& options, Context& context)
      : embedder_(std::move(embedder)), role_(role), context_(context) {
    embed_.width = options.width;
    embed_.stop = context.stop;
  }

  Status take(EmbedLine line) {
    if (!line.title.empty() && role_ != Role::kDocument) {
      return {
          StatusCode::kInvalidArgument,
          fmt::format("a title goes with the role document only; this is {}", role_name(role_))};
    }
    bytes_ += line.text.size();
    lines_.push_back(std::move(line));
    return {};
  }
  [[nodiscard]] bool full() const {
    return lines_.size() >= kMostBatch || bytes_ >= kMostBatchBytes;
  }

  Status write() {
    if (lines_.empty()) return {};
    std::vector<EmbedInput> inputs;
    inputs.reserve(lines_.size());
    for (const EmbedLine& line : lines_) inputs.push_back({line.text, line.title});
    NESTOR_ASSIGN_OR_RETURN(const std::vector<Embedding> embedded,
                            embedder_.embed(inputs, role_, embed_));
    for (const Embedding& embedding : embedded) context_.print(line_of(embedding));
    lines_.clear();
    bytes_ = 0;
    return context_.flush();
  }

 private:
  // By hand: the shortest digits that give the same float back, which a JSON library that knows
  // only doubles does not find.
  [[nodiscard]] std::string line_of(const Embedding& embedding) const {
    return fmt::format(
        "{{\"schema_version\":{},\"vector\":[{}],\"tokens\":{},\"truncated\":{},"
        "\"precision\":\"{}\"}}\n",
        kSchemaVersion, fmt::join(embedding.vector, ","), embedding.token_count,
        embedding.truncated, embedder_.info().precision);
  }

  Embedder embedder_;
  Role role_;
  Context& context_;
  EmbedOptions embed_;
  std::vector<EmbedLine> lines_;
  std::size_t bytes_ = 0;
};

Status embed_lines(TextsInFlight& texts, Context& context) {
  LineReader reader(0, context.stop);
  for (;;) {
    // What has come is answered before more is waited for: another program may hold a conversation.
    if (texts.full() || !reader.ready()) NESTOR_RETURN_IF_ERROR(texts.write());
    NESTOR_ASSIGN_OR_RETURN(const std::optional<std::string_view> line, reader.next());
    if (!line.has_value()) return texts.write();
    if (line->find_first_not_of(" \t") == line->npos) continue;
    Result<EmbedLine> parsed = parse_embed_line(*line);
    Status status = parsed.status();
    if (status.ok()) status = texts.take(std::move(parsed).value());
    if (!status.ok()) return status.with_context(fmt::format("line {}", reader.line_number()));
  }
}

Status embed_arguments(const EmbedCommandOptions& options, TextsInFlight& texts) {
  for (const std::string& text : options.texts) {
    NESTOR_RETURN_IF_ERROR(texts.take({text, options.title}));
    if (texts.full()) NESTOR_RETURN_IF_ERROR(texts.write());
  }
  return texts.write();
}

int run_embed(const EmbedCommandOptions& options, Context& context) {
  const Result<Role> role = parse_role(options.role);
  if (!role.ok()) return context.fail(role.status());
  if (options.jsonl != options.texts.empty()) {
    return context.fail({StatusCode::kInvalidArgument,
                         "give the texts as arguments, or --jsonl to read JSON lines from standard "
                         "input"});
  }
  Result<Embedder> embedder = Embedder::open(context.embedder_options(options.precision));
  if (!embedder.ok()) return context.fail(embedder.status());
  TextsInFlight texts(std::move(embedder).value(), role.value(), options, context);
  const Status status =
      options.jsonl ? embed_lines(texts, context) : embed_arguments(options, texts);
  return status.ok() ? kExitOk : context.fail(status);
}

}  // namespace

void add_embed_command(CLI::App& app, Context& context) {
  CLI::App& command =
      *app.add_subcommand("embed", "Texts to vectors, one JSON line each, in order");
  auto options = std::make_shared<EmbedCommandOptions>();
  command.add_option("TEXT", options->texts, "The texts");
  command.add_flag("--jsonl", options->jsonl,
                   R"(Read {"text", "title"?} lines from standard input instead)");
  command
      .add_option("--role", options->role,
                  "query, document, question-answering, fact-checking, classification, clustering, "
                  "sentence-similarity or code-retrieval")
      ->capture_default_str();
  command.add_option("--title", options->title, "Title of the texts, for the role document");
  add_number(command, "--width", options->width, ranges::kDimension,
             "768, 512, 256 or 128 (default: the widest)");
  command.add_option("--precision", options->precision, kPrecisionHelp);
  set_action(command, context, [options](Context& c) { return run_embed(*options, c); });
}

}  // namespace nestor::cli
