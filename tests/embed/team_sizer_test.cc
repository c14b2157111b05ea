#include "embed/team_sizer.h"

#include <doctest/doctest.h>

namespace nestor::embed {
namespace {

TEST_CASE("a team whose members run keeps its size") {
  TeamSizer sizer(8);
  for (int pass = 0; pass < 1000; ++pass) {
    REQUIRE(sizer.size() == 8);
    sizer.hear(0.15);
  }
}

TEST_CASE("a team whose members wait is halved down to one thread, and grows again in calm") {
  TeamSizer sizer(8);
  for (const int size : {8, 4, 2, 1, 1}) {
    REQUIRE(sizer.size() == size);
    sizer.hear(0.6);
  }
  int passes = 0;
  for (; sizer.size() < 8 && passes < 1000; ++passes) sizer.hear(0.1);
  CHECK(sizer.size() == 8);
  CHECK(passes < 200);
}

TEST_CASE("on a machine that stays busy larger teams are tried seldom, and soon once it is calm") {
  TeamSizer sizer(2);
  int tried = 0;
  for (int pass = 0; pass < 6500; ++pass) {
    tried += sizer.size() == 2 ? 1 : 0;
    sizer.hear(sizer.size() == 2 ? 0.5 : 0);
  }
  CHECK(tried < 120);  // one in 64, after a few at the beginning
  CHECK(tried > 60);
  for (int pass = 0; pass < 80; ++pass) sizer.hear(0.1);
  CHECK(sizer.size() == 2);
  sizer.hear(0.5);  // a single interruption is forgotten soon
  CHECK(sizer.size() == 1);
  for (int pass = 0; pass < 4; ++pass) sizer.hear(0);
  CHECK(sizer.size() == 2);
}

}  // namespace
}  // namespace nestor::embed
