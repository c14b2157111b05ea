#include "embed/prompt.h"

namespace nestor::embed {
namespace {

constexpr std::string_view kNoTitle = "none";

// The model's files name no prompt for these two roles; its card gives them. Source: the table
// "Prompt instructions" of the EmbeddingGemma model card.
constexpr std::string_view kQuestionAnswering = "task: question answering | query: ";
constexpr std::string_view kFactChecking = "task: fact checking | query: ";

std::string_view template_of(const PromptConfig& prompts, Role role) {
  switch (role) {
    case Role::kQuery:
      return prompts.search_query;
    case Role::kDocument:
      return prompts.document;
    case Role::kQuestionAnswering:
      return kQuestionAnswering;
    case Role::kFactChecking:
      return kFactChecking;
    case Role::kClassification:
      return prompts.classification;
    case Role::kClustering:
      return prompts.clustering;
    case Role::kSentenceSimilarity:
      return prompts.sentence_similarity;
    case Role::kCodeRetrieval:
      return prompts.code_retrieval;
  }
  return prompts.search_query;
}

}  // namespace

std::string prompted_text(const PromptConfig& prompts, Role role, std::string_view title,
                          std::string_view text) {
  std::string result(template_of(prompts, role));
  if (role == Role::kDocument && !title.empty()) {
    if (const std::size_t slot = result.find(kNoTitle); slot != std::string::npos) {
      result.replace(slot, kNoTitle.size(), title);
    }
  }
  result += text;
  return result;
}

std::string bare_prompt(const PromptConfig& prompts, Role role) {
  return prompted_text(prompts, role, {}, {});
}

}  // namespace nestor::embed
