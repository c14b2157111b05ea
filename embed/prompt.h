// Prompts: what stands in front of a text when it is embedded, by the role it plays.
// Threads: free functions, safe anywhere.
#pragma once

#include <string>
#include <string_view>

#include "embed/model_config.h"
#include "nestor/options.h"

namespace nestor::embed {

// The whole text the tokenizer sees. A document's title stands in the prompt's title slot, where
// "none" stands without one; other roles have no slot and ignore the title.
std::string prompted_text(const PromptConfig& prompts, Role role, std::string_view title,
                          std::string_view text);

// The prompt of a role with an empty title and text: part of what makes a vector space.
std::string bare_prompt(const PromptConfig& prompts, Role role);

}  // namespace nestor::embed
