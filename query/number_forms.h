// Numbers in their different spellings. Threads: free functions, safe anywhere.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace nestor::query {

struct NumberForms {
  std::string number;                 // without separators of thousands, with a point
  std::vector<std::string> variants;  // found as well where this stands in a text
};

// Of ASCII digits with points, commas and apostrophes between them: 1,000.50 and 1.000,50 are
// 1000.50; 3,14 is 3.14 and also its two sides, 1,2,3 also each of the three, 1.000 also 1000.
// What has three or more parts (a version, an address) is found by its first parts too: 1.2.3 by
// 1.2.
NumberForms number_forms(std::string_view text);

}  // namespace nestor::query
